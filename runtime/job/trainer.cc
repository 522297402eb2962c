#include "runtime/job/trainer.h"

#include <limits>
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
#include "runtime/job/agree.h"
#include "runtime/job/check_replicas.h"
#include "runtime/job/evaluate.h"
#include "runtime/job/gathered_weights.h"
#include "runtime/job/job_config.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/ranks.h"
#include "runtime/job/run_outputs.h"
#include "runtime/job/same_run.h"
#include "runtime/job/sample.h"
#include "runtime/job/shared_checkpoint.h"
#include "runtime/job/shared_clock.h"
#include "runtime/job/training_step.h"
#include "runtime/job/worker_store.h"
#include "runtime/log/log.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

// A run whose gradients stay infinite this long will not recover.
constexpr int kMostSkippedInARow = 20;

class SpmdTrainer : public Trainer {
 public:
  SpmdTrainer(const proto::ExecutionPlan& plan, const proto::JobConfig& config, const TrainerOptions& options,
              std::unique_ptr<Ranks> ranks)
      : plan_(plan),
        train_(*FindProgram(plan, "train")),
        config_(config),
        options_(options),
        progress_(config.quiet() || !ranks->has_root() ? nullptr : options.progress, options.terminal, config.steps()),
        ranks_(std::move(ranks)) {}

  // After an error nobody goes on: whoever waits for this process hears of it.
  absl::Status Prepare(const proto::Model* model) { return EndAllOn(TryPrepare(model)); }
  absl::StatusOr<RunResults> Run() override;
  uint64_t first_step() const override { return first_step_; }

 private:
  absl::Status EndAllOn(absl::Status status);
  absl::Status TryPrepare(const proto::Model* model);
  absl::Status OpenSources();
  absl::StatusOr<std::string> OpenFolder();
  absl::Status Restore(const std::string& checkpoint);
  absl::Status BeginOutputs(const proto::Model* model);
  absl::Status Train();
  absl::Status TrainOneStep();
  absl::Status KeepTrace(const proto::StepTrace& trace);
  absl::Status EvaluateHeldOut();
  absl::Status SaveState();
  absl::StatusOr<RunResults> FinishRun();
  absl::Status WriteWeights(RunResults* results);
  absl::Status MakeSample(RunResults* results);

  uint64_t samples_per_step() const { return SamplesPerStep(plan_, train_); }

  const proto::ExecutionPlan& plan_;
  const proto::Program& train_;
  const proto::JobConfig config_;
  const TrainerOptions options_;
  DataSources data_;
  Progress progress_;
  std::unique_ptr<RunOutputs> outputs_;  // in rank 0's process only
  std::unique_ptr<Ranks> ranks_;         // after what it uses: it dies first

  double behind_root_ = 0;
  bool stop_ = false;                   // agreed
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

absl::Status SpmdTrainer::EndAllOn(absl::Status status) {
  // A stop was agreed: the others end by themselves.
  if (!status.ok() && !absl::IsCancelled(status)) ranks_->Abort(status);
  return status;
}

absl::Status SpmdTrainer::TryPrepare(const proto::Model* model) {
  MR_RETURN_IF_ERROR(CheckSameRun(plan_, config_, ranks_.get()));
  MR_RETURN_IF_ERROR(OpenSources());
  MR_ASSIGN_OR_RETURN(const std::string checkpoint, OpenFolder());
  MR_RETURN_IF_ERROR(ranks_->Open());
  // Also before restoring: constants and gradients are not in a checkpoint.
  MR_RETURN_IF_ERROR(ranks_->Each([](Seat& seat) { return seat.worker->InitializeParameters(); }));
  if (!checkpoint.empty()) MR_RETURN_IF_ERROR(AllOk(ranks_.get(), Restore(checkpoint)));
  MR_RETURN_IF_ERROR(ranks_->Each([](Seat& seat) { return seat.worker->PrepareWeights(); }));
  // Nothing is written before all are ready.
  MR_RETURN_IF_ERROR(AllOk(ranks_.get(), absl::OkStatus()));
  MR_RETURN_IF_ERROR(BeginOutputs(model));
  MR_ASSIGN_OR_RETURN(behind_root_, SecondsBehindRoot(ranks_.get()));
  return absl::OkStatus();
}

absl::Status SpmdTrainer::OpenSources() {
  DataNeeds needs;
  needs.inputs.assign(plan_.inputs().begin(), plan_.inputs().end());
  needs.vocabulary = VocabularyOf(plan_);
  needs.seed = config_.seed();
  absl::StatusOr<DataSources> data = OpenData(config_.data(), needs);
  MR_RETURN_IF_ERROR(AllOk(ranks_.get(), data.status()));
  data_ = *std::move(data);
  MR_RETURN_IF_ERROR(CheckSameText("the data", data_.train->description(), ranks_.get()));
  progress_.Note(absl::StrCat("data: ", data_.summary));
  return absl::OkStatus();
}

// Rank 0's process takes hold of the folder and says which checkpoint all resume from, empty for none.
absl::StatusOr<std::string> SpmdTrainer::OpenFolder() {
  const auto open = [this]() -> absl::StatusOr<std::string> {
    MR_ASSIGN_OR_RETURN(const std::optional<ResumePoint> resume, FindResumePoint(config_.resume(), config_.out_dir()));
    const bool continues = config_.resume() == "auto" || (resume.has_value() && resume->in_place);
    MR_ASSIGN_OR_RETURN(outputs_, RunOutputs::Open(config_.out_dir(), continues));
    return resume.has_value() ? resume->checkpoint : "";
  };
  return ResumeTogether(ranks_->has_root() ? open() : std::string(), ranks_.get());
}

absl::Status SpmdTrainer::Restore(const std::string& checkpoint) {
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

absl::Status SpmdTrainer::BeginOutputs(const proto::Model* model) {
  std::vector<TablesSoFar> tables(ranks_->size());
  if (outputs_ != nullptr) {
    MR_ASSIGN_OR_RETURN(tables[0], outputs_->Begin(plan_, model, config_, step_));
  }
  MR_RETURN_IF_ERROR(Share(ranks_.get(), &tables));
  last_.loss = tables[0].last_loss;
  held_out_before_ = tables[0].held_out_before;
  held_out_after_ = tables[0].held_out_after;
  if (tables[0].evaluated) evaluated_step_ = tables[0].evaluated_step;
  return absl::OkStatus();
}

absl::StatusOr<RunResults> SpmdTrainer::Run() {
  MR_RETURN_IF_ERROR(EndAllOn(Train()));
  absl::StatusOr<RunResults> results = FinishRun();
  MR_RETURN_IF_ERROR(EndAllOn(results.status()));
  return results;
}

absl::Status SpmdTrainer::Train() {
  if (step_ == 0) MR_RETURN_IF_ERROR(EvaluateHeldOut());
  MR_ASSIGN_OR_RETURN(stop_, AnyOf(ranks_.get(), options_.stop != nullptr && options_.stop->load()));
  while (step_ < config_.steps() && !stop_) {
    MR_RETURN_IF_ERROR(TrainOneStep());
    // Before a checkpoint could keep what has gone wrong.
    if (config_.check_replicas_every() > 0 && step_ % config_.check_replicas_every() == 0) {
      MR_RETURN_IF_ERROR(CheckReplicas(plan_, ranks_.get()));
    }
    const bool last = step_ == config_.steps();
    if (!last && config_.eval_every() > 0 && step_ % config_.eval_every() == 0) MR_RETURN_IF_ERROR(EvaluateHeldOut());
    if (config_.checkpoint_every() > 0 && step_ % config_.checkpoint_every() == 0) MR_RETURN_IF_ERROR(SaveState());
  }
  if (saved_step_ != step_ && (step_ > first_step_ || first_step_ == 0)) MR_RETURN_IF_ERROR(SaveState());
  if (step_ == config_.steps()) return absl::OkStatus();
  return absl::CancelledError(absl::StrCat("stopped after step ", step_, " of ", config_.steps(), "; ",
                                           config_.out_dir(), "/checkpoint/", CheckpointName(step_),
                                           " holds everything: continue with --resume=auto"));
}

absl::Status SpmdTrainer::TrainOneStep() {
  ranks_->SetFeed(FeedOf(*data_.train, plan_, train_));
  const StepOptions options{.behind_root = behind_root_, .stop = options_.stop};
  MR_ASSIGN_OR_RETURN(const StepOutcome outcome,
                      RunTrainingStep(plan_, config_, step_, optimizer_steps_, options, ranks_.get()));
  last_ = outcome.report;
  step_ = last_.step;
  if (!last_.skipped) ++optimizer_steps_;
  skipped_in_a_row_ = last_.skipped ? skipped_in_a_row_ + 1 : 0;
  // The first step after a start touches memory for the first time.
  if (step_ > first_step_ + 1) {
    timed_seconds_ += last_.seconds;
    ++timed_steps_;
  }
  if (outputs_ != nullptr) MR_RETURN_IF_ERROR(outputs_->Step(last_));
  MR_RETURN_IF_ERROR(KeepTrace(outcome.trace));
  progress_.Step(last_);
  if (options_.on_step) options_.on_step(last_);
  // One process alone may also heed what has come since.
  stop_ = outcome.stop || (ranks_->all_here() && options_.stop != nullptr && options_.stop->load());
  if (skipped_in_a_row_ >= kMostSkippedInARow) {
    return absl::OutOfRangeError(absl::StrCat("the gradient was not finite for ", skipped_in_a_row_,
                                              " steps, up to step ", step_,
                                              ": the run has diverged; resume from an earlier checkpoint with a ",
                                              "lower --learning-rate or a longer warm-up"));
  }
  return absl::OkStatus();
}

absl::Status SpmdTrainer::KeepTrace(const proto::StepTrace& trace) {
  const bool asked = config_.trace_every() > 0 && step_ % config_.trace_every() == 0;
  if (!asked && step_ != config_.steps()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(const proto::StepTrace whole, WholeTrace(trace, ranks_.get()));
  return outputs_ != nullptr ? outputs_->Trace(whole) : absl::OkStatus();
}

absl::Status SpmdTrainer::EvaluateHeldOut() {
  if (config_.eval_micro_batches() == 0 || FindProgram(plan_, "eval") == nullptr || evaluated_step_ == step_) {
    return absl::OkStatus();
  }
  MR_ASSIGN_OR_RETURN(const HeldOutLoss held_out,
                      Evaluate(plan_, *data_.validation, config_.eval_micro_batches(), ranks_.get()));
  if (outputs_ != nullptr) MR_RETURN_IF_ERROR(outputs_->HeldOut(step_, held_out));
  progress_.Note(absl::StrFormat("held-out loss after step %d: %.4f", step_, held_out.loss));
  if (step_ == 0) held_out_before_ = held_out.loss;
  held_out_after_ = held_out.loss;
  evaluated_step_ = step_;
  return absl::OkStatus();
}

absl::Status SpmdTrainer::SaveState() {
  proto::CheckpointManifest facts;
  facts.set_plan_hash(plan_.hash());
  facts.set_model_hash(plan_.model_hash());
  facts.set_step(step_);
  facts.set_optimizer_steps(optimizer_steps_);
  facts.set_samples_consumed(step_ * samples_per_step());
  facts.set_seed(config_.seed());
  facts.set_data_description(data_.train->description());
  facts.set_job(CanonicalBytes(config_));
  const absl::Status synced = outputs_ != nullptr ? outputs_->Sync() : absl::OkStatus();
  const std::string root = outputs_ != nullptr ? outputs_->folder().Checkpoints() : "";
  const WorkerStore store(plan_, *ranks_, /*with_state=*/true);
  MR_RETURN_IF_ERROR(SaveTogether(root, synced, facts, store, ranks_.get()));
  saved_step_ = step_;
  if (outputs_ == nullptr) return absl::OkStatus();
  // What could not be cleared away costs disk, not the run.
  const absl::Status cleared = KeepNewest(root, static_cast<int>(config_.checkpoints_kept()));
  if (!cleared.ok()) Log(LogLevel::kWarning, absl::StrCat("older checkpoints stay: ", cleared.message()));
  return absl::OkStatus();
}

absl::StatusOr<RunResults> SpmdTrainer::FinishRun() {
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
  const Device& device = *ranks_->seat(ranks_->this_process()).device;
  results.device = absl::StrCat(device.kind(), ": ", device.name());
  MR_RETURN_IF_ERROR(WriteWeights(&results));
  MR_RETURN_IF_ERROR(MakeSample(&results));
  // All end together: one that fails here fails the run, and nobody leaves while others still need it.
  MR_RETURN_IF_ERROR(AllOk(ranks_.get(), outputs_ != nullptr ? outputs_->Finish(results, plan_) : absl::OkStatus()));
  return results;
}

absl::Status SpmdTrainer::WriteWeights(RunResults* results) {
  const WorkerStore here(plan_, *ranks_, /*with_state=*/false);
  if (outputs_ == nullptr) {
    MR_RETURN_IF_ERROR(ServeWeights(here, ranks_.get()));
  } else {
    MR_ASSIGN_OR_RETURN(GatheredWeights weights, GatheredWeights::Of(here, ranks_.get()));
    MR_ASSIGN_OR_RETURN(results->weights_sha256, WeightsDigest(weights));
    MR_RETURN_IF_ERROR(WriteSafetensors(outputs_->folder().File("weights.safetensors"), weights,
                                        {{"model", plan_.model_name()}, {"weights_sha256", results->weights_sha256}}));
    MR_RETURN_IF_ERROR(weights.Release());
  }
  MR_ASSIGN_OR_RETURN(results->weights_sha256, FromRoot(ranks_.get(), results->weights_sha256));
  return absl::OkStatus();
}

absl::Status SpmdTrainer::MakeSample(RunResults* results) {
  // Bytes are the only ids that are text without a tokenizer.
  if (config_.sample_bytes() == 0 || data_.format != "text" || FindProgram(plan_, "logits") == nullptr) {
    return absl::OkStatus();
  }
  const SampleOptions options{.prompt = config_.sample_prompt(),
                              .bytes = config_.sample_bytes(),
                              .temperature = config_.sample_temperature(),
                              .seed = config_.seed()};
  MR_ASSIGN_OR_RETURN(results->sample, SampleText(plan_, options, ranks_.get()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const proto::ExecutionPlan& plan, const proto::Model* model,
                                                         const proto::JobConfig& config,
                                                         const TrainerOptions& options) {
  proto::JobConfig job = config;
  job.set_schema_version(kSchemaVersion);
  MR_RETURN_IF_ERROR(CheckJobConfig(job, plan));
  RanksOptions of_ranks;
  of_ranks.device_kind = options.device_kind;
  of_ranks.threads = static_cast<int>(job.threads());
  of_ranks.seed = job.seed();
  of_ranks.open_device = options.open_device;
  of_ranks.here = options.here;
  of_ranks.on_this_host = options.on_this_host;
  of_ranks.local_rank = options.local_rank;
  of_ranks.make_communicator = options.make_communicator;
  of_ranks.make_stand = options.make_stand;
  of_ranks.communication = options.communication;
  of_ranks.faults = options.faults;
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Ranks> ranks, Ranks::Connect(plan, of_ranks));
  auto trainer = std::make_unique<SpmdTrainer>(plan, job, options, std::move(ranks));
  MR_RETURN_IF_ERROR(trainer->Prepare(model));
  return trainer;
}

}  // namespace millrace
