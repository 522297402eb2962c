#include "runtime/job/trainer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/checkpoint.pb.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/find.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/checkpoint/weights.h"
#include "runtime/data/open.h"
#include "runtime/job/evaluate.h"
#include "runtime/job/job_config.h"
#include "runtime/job/metrics.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/ranks.h"
#include "runtime/job/run_folder.h"
#include "runtime/job/sample.h"
#include "runtime/job/training_step.h"
#include "runtime/job/worker_store.h"
#include "runtime/log/log.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

// A run whose gradients stay infinite this long will not recover.
constexpr int kMostSkippedInARow = 20;

class InProcessTrainer : public Trainer {
 public:
  InProcessTrainer(const proto::ExecutionPlan& plan, const proto::JobConfig& config, const TrainerOptions& options,
                   RunFolder folder, DataSources data)
      : plan_(plan),
        train_(*FindProgram(plan, "train")),
        config_(config),
        options_(options),
        folder_(std::move(folder)),
        data_(std::move(data)),
        progress_(config.quiet() ? nullptr : options.progress, options.terminal, config.steps()) {}

  absl::Status Prepare(const proto::Model* model, const std::optional<ResumePoint>& resume);
  absl::StatusOr<RunResults> Run() override;
  uint64_t first_step() const override { return first_step_; }

 private:
  absl::Status Restore(const std::string& checkpoint);
  absl::Status WriteInputs(const proto::Model* model);
  absl::Status TrainOneStep();
  absl::Status KeepTrace(const proto::StepTrace& trace);
  absl::Status EvaluateHeldOut();
  absl::Status SaveState();
  absl::StatusOr<RunResults> FinishRun();
  absl::Status WriteSample(RunResults* results);

  bool stopping() const { return options_.stop != nullptr && options_.stop->load(); }
  uint64_t samples_per_step() const { return SamplesPerStep(plan_, train_); }

  const proto::ExecutionPlan& plan_;
  const proto::Program& train_;
  const proto::JobConfig config_;
  const TrainerOptions options_;
  RunFolder folder_;
  DataSources data_;
  Progress progress_;
  std::unique_ptr<MetricsFile> metrics_, held_out_;
  std::unique_ptr<Ranks> ranks_;  // before what it uses: it dies first

  uint64_t first_step_ = 0, step_ = 0;  // steps done
  uint64_t optimizer_steps_ = 0;
  std::optional<uint64_t> saved_step_, evaluated_step_;
  int skipped_in_a_row_ = 0;
  StepReport last_;
  double held_out_before_ = std::numeric_limits<double>::quiet_NaN();
  double held_out_after_ = std::numeric_limits<double>::quiet_NaN();
  double timed_seconds_ = 0;
  uint64_t timed_steps_ = 0;
};

absl::Status InProcessTrainer::Prepare(const proto::Model* model, const std::optional<ResumePoint>& resume) {
  progress_.Note(absl::StrCat("data: ", data_.summary));
  RanksOptions ranks;
  ranks.device_kind = options_.device_kind;
  ranks.threads = static_cast<int>(config_.threads());
  ranks.seed = config_.seed();
  ranks.open_device = options_.open_device;
  MR_ASSIGN_OR_RETURN(ranks_, Ranks::Start(plan_, ranks));
  // Also before restoring: constants and gradients are not in a checkpoint.
  MR_RETURN_IF_ERROR(ranks_->Each([](Seat& seat) { return seat.worker->InitializeParameters(); }));
  if (resume.has_value()) MR_RETURN_IF_ERROR(Restore(resume->checkpoint));
  MR_RETURN_IF_ERROR(ranks_->Each([](Seat& seat) { return seat.worker->PrepareWeights(); }));
  MR_RETURN_IF_ERROR(WriteInputs(model));
  MR_ASSIGN_OR_RETURN(metrics_, MetricsFile::Open(folder_.File("metrics.csv"), kMetricsHeader, step_));
  MR_ASSIGN_OR_RETURN(held_out_, MetricsFile::Open(folder_.File("held_out.csv"), kHeldOutHeader, step_));
  if (!metrics_->kept_rows().empty()) last_.loss = NumberInRow(metrics_->kept_rows().back(), 1);
  if (!held_out_->kept_rows().empty()) {
    held_out_before_ = NumberInRow(held_out_->kept_rows().front(), 1);
    held_out_after_ = NumberInRow(held_out_->kept_rows().back(), 1);
    evaluated_step_ = static_cast<uint64_t>(NumberInRow(held_out_->kept_rows().back(), 0));
  }
  return absl::OkStatus();
}

absl::Status InProcessTrainer::Restore(const std::string& checkpoint) {
  // Cheap questions first: the manifest alone tells whether this run is that one.
  MR_ASSIGN_OR_RETURN(const proto::CheckpointManifest facts, ReadManifest(checkpoint));
  MR_RETURN_IF_ERROR(CheckPlanHash(facts, checkpoint, plan_.hash()));
  if (facts.seed() != config_.seed()) {
    return absl::FailedPreconditionError(absl::StrCat(checkpoint, ": was made with --seed=", facts.seed(),
                                                      ", but this run has --seed=", config_.seed()));
  }
  if (facts.data_description() != data_.train->description()) {
    return absl::FailedPreconditionError(
        absl::StrCat(checkpoint, ": was made with the data '", facts.data_description(), "', but this run has '",
                     data_.train->description(), "'; resume with the same --data, order and sequence length"));
  }
  if (facts.samples_consumed() != facts.step() * samples_per_step() || facts.optimizer_steps() > facts.step()) {
    return absl::InvalidArgumentError(absl::StrCat(checkpoint, ": its position in the data (", facts.samples_consumed(),
                                                   " samples, ", facts.optimizer_steps(),
                                                   " optimizer steps) does not belong to step ", facts.step()));
  }
  WorkerStore store(plan_, *ranks_, /*with_state=*/true);
  MR_RETURN_IF_ERROR(LoadCheckpoint(checkpoint, plan_.hash(), &store).status());
  first_step_ = step_ = facts.step();
  optimizer_steps_ = facts.optimizer_steps();
  progress_.Note(absl::StrCat("resumed after step ", step_, " from ", checkpoint));
  return absl::OkStatus();
}

absl::Status InProcessTrainer::WriteInputs(const proto::Model* model) {
  const std::string path = folder_.File("plan.pb");
  proto::ExecutionPlan there;
  if (ReadMessage(path, &there).ok() && there.hash() != plan_.hash()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the run in this folder has plan ", there.hash(),
                                                      ", but this one is ", plan_.hash(),
                                                      "; choose another folder with --out"));
  }
  MR_RETURN_IF_ERROR(WriteMessage(path, plan_));
  if (model != nullptr) MR_RETURN_IF_ERROR(WriteMessage(folder_.File("model.pb"), *model));
  MR_RETURN_IF_ERROR(WriteMessage(folder_.File("job.pb"), config_));
  MR_ASSIGN_OR_RETURN(const Simulation predicted, Simulate(plan_, "train"));
  return WriteMessage(folder_.File("predicted.pb"), predicted.trace);
}

absl::StatusOr<RunResults> InProcessTrainer::Run() {
  if (step_ == 0) MR_RETURN_IF_ERROR(EvaluateHeldOut());
  while (step_ < config_.steps() && !stopping()) {
    MR_RETURN_IF_ERROR(TrainOneStep());
    const bool last = step_ == config_.steps();
    if (!last && config_.eval_every() > 0 && step_ % config_.eval_every() == 0) MR_RETURN_IF_ERROR(EvaluateHeldOut());
    if (config_.checkpoint_every() > 0 && step_ % config_.checkpoint_every() == 0) MR_RETURN_IF_ERROR(SaveState());
  }
  if (saved_step_ != step_ && (step_ > first_step_ || first_step_ == 0)) MR_RETURN_IF_ERROR(SaveState());
  if (step_ < config_.steps()) {
    return absl::CancelledError(absl::StrCat("stopped after step ", step_, " of ", config_.steps(), "; ",
                                             folder_.Checkpoints(), "/", CheckpointName(step_),
                                             " holds everything: continue with --resume=auto"));
  }
  return FinishRun();
}

absl::Status InProcessTrainer::TrainOneStep() {
  ranks_->SetFeed(FeedOf(*data_.train, plan_, train_));
  MR_ASSIGN_OR_RETURN(const StepOutcome outcome,
                      RunTrainingStep(plan_, config_, step_, optimizer_steps_, ranks_.get()));
  last_ = outcome.report;
  step_ = last_.step;
  if (!last_.skipped) ++optimizer_steps_;
  skipped_in_a_row_ = last_.skipped ? skipped_in_a_row_ + 1 : 0;
  // The first step after a start touches memory for the first time.
  if (step_ > first_step_ + 1) {
    timed_seconds_ += last_.seconds;
    ++timed_steps_;
  }
  MR_RETURN_IF_ERROR(metrics_->Append(
      step_, {last_.loss, last_.gradient_norm, last_.learning_rate, last_.seconds, last_.tokens_per_second(),
              static_cast<double>(last_.tokens), last_.skipped ? 1.0 : 0.0, last_.bubble}));
  MR_RETURN_IF_ERROR(KeepTrace(outcome.trace));
  progress_.Step(last_);
  if (options_.on_step) options_.on_step(last_);
  if (skipped_in_a_row_ >= kMostSkippedInARow) {
    return absl::OutOfRangeError(absl::StrCat("the gradient was not finite for ", skipped_in_a_row_,
                                              " steps, up to step ", step_,
                                              ": the run has diverged; resume from an earlier checkpoint with a ",
                                              "lower --learning-rate or a longer warm-up"));
  }
  return absl::OkStatus();
}

absl::Status InProcessTrainer::KeepTrace(const proto::StepTrace& trace) {
  const bool asked = config_.trace_every() > 0 && step_ % config_.trace_every() == 0;
  if (!asked && step_ != config_.steps()) return absl::OkStatus();
  return WriteMessage(folder_.Trace(step_), trace);
}

absl::Status InProcessTrainer::EvaluateHeldOut() {
  if (config_.eval_micro_batches() == 0 || FindProgram(plan_, "eval") == nullptr || evaluated_step_ == step_) {
    return absl::OkStatus();
  }
  MR_ASSIGN_OR_RETURN(const HeldOutLoss held_out,
                      Evaluate(plan_, *data_.validation, config_.eval_micro_batches(), ranks_.get()));
  MR_RETURN_IF_ERROR(held_out_->Append(step_, {held_out.loss, held_out.count}));
  progress_.Note(absl::StrFormat("held-out loss after step %d: %.4f", step_, held_out.loss));
  if (step_ == 0) held_out_before_ = held_out.loss;
  held_out_after_ = held_out.loss;
  evaluated_step_ = step_;
  return absl::OkStatus();
}

absl::Status InProcessTrainer::SaveState() {
  proto::CheckpointManifest facts;
  facts.set_plan_hash(plan_.hash());
  facts.set_model_hash(plan_.model_hash());
  facts.set_step(step_);
  facts.set_optimizer_steps(optimizer_steps_);
  facts.set_samples_consumed(step_ * samples_per_step());
  facts.set_seed(config_.seed());
  facts.set_data_description(data_.train->description());
  facts.set_job(CanonicalBytes(config_));
  MR_RETURN_IF_ERROR(metrics_->Sync());
  MR_RETURN_IF_ERROR(held_out_->Sync());
  MR_RETURN_IF_ERROR(
      SaveCheckpoint(folder_.Checkpoints(), facts, ranks_->size(), WorkerStore(plan_, *ranks_, true)).status());
  saved_step_ = step_;
  // What could not be cleared away costs disk, not the run.
  const absl::Status cleared = KeepNewest(folder_.Checkpoints(), static_cast<int>(config_.checkpoints_kept()));
  if (!cleared.ok()) Log(LogLevel::kWarning, absl::StrCat("older checkpoints stay: ", cleared.message()));
  return absl::OkStatus();
}

absl::StatusOr<RunResults> InProcessTrainer::FinishRun() {
  MR_RETURN_IF_ERROR(EvaluateHeldOut());
  RunResults results;
  results.steps = step_;
  results.optimizer_steps = optimizer_steps_;
  results.samples = step_ * samples_per_step();
  results.tokens = HasTokens(plan_) ? results.samples * TokensPerSample(plan_) : 0;
  results.final_loss = last_.loss;
  results.held_out_before = held_out_before_;
  results.held_out_after = held_out_after_;
  results.seconds_per_step = timed_steps_ > 0 ? timed_seconds_ / timed_steps_ : last_.seconds;
  if (results.seconds_per_step > 0) {
    results.tokens_per_second = samples_per_step() * TokensPerSample(plan_) / results.seconds_per_step;
  }
  results.bubble = last_.bubble;
  results.mfu = last_.mfu;
  results.data = data_.train->description();
  results.threads_per_rank = ranks_->threads_per_rank();
  const Device& device = *ranks_->seat(0).device;
  results.device = absl::StrCat(device.kind(), ": ", device.name());
  const WorkerStore weights(plan_, *ranks_, /*with_state=*/false);
  MR_ASSIGN_OR_RETURN(results.weights_sha256, WeightsDigest(weights));
  MR_RETURN_IF_ERROR(WriteSafetensors(folder_.File("weights.safetensors"), weights,
                                      {{"model", plan_.model_name()}, {"weights_sha256", results.weights_sha256}}));
  MR_RETURN_IF_ERROR(WriteSample(&results));
  MR_RETURN_IF_ERROR(WriteFileAtomically(folder_.File("summary.json"), ResultsJson(results, plan_)));
  return results;
}

absl::Status InProcessTrainer::WriteSample(RunResults* results) {
  // Bytes are the only ids that are text without a tokenizer.
  if (config_.sample_bytes() == 0 || data_.format != "text" || FindProgram(plan_, "logits") == nullptr) {
    return absl::OkStatus();
  }
  const SampleOptions options{.prompt = config_.sample_prompt(),
                              .bytes = config_.sample_bytes(),
                              .temperature = config_.sample_temperature(),
                              .seed = config_.seed()};
  MR_ASSIGN_OR_RETURN(results->sample, SampleText(plan_, options, ranks_.get()));
  return WriteFileAtomically(folder_.File("sample.txt"), results->sample);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const proto::ExecutionPlan& plan, const proto::Model* model,
                                                         const proto::JobConfig& config,
                                                         const TrainerOptions& options) {
  proto::JobConfig job = config;
  job.set_schema_version(kSchemaVersion);
  MR_RETURN_IF_ERROR(CheckJobConfig(job, plan));
  DataNeeds needs;
  needs.inputs.assign(plan.inputs().begin(), plan.inputs().end());
  needs.vocabulary = VocabularyOf(plan);
  needs.seed = job.seed();
  MR_ASSIGN_OR_RETURN(DataSources data, OpenData(job.data(), needs));
  MR_ASSIGN_OR_RETURN(const std::optional<ResumePoint> resume, FindResumePoint(job.resume(), job.out_dir()));
  const bool continues = job.resume() == "auto" || (resume.has_value() && resume->in_place);
  MR_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Open(job.out_dir(), continues));
  auto trainer = std::make_unique<InProcessTrainer>(plan, job, options, std::move(folder), std::move(data));
  MR_RETURN_IF_ERROR(trainer->Prepare(model, resume));
  return trainer;
}

}  // namespace millrace
