#include "tools/gpu_check/training_speed.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "partitioner/local.h"
#include "partitioner/partition.h"
#include "proto/status_macros.h"
#include "runtime/job/ranks.h"
#include "runtime/job/training_step.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/verify.h"
#include "runtime/profile/profile.h"

namespace millrace {
namespace {

constexpr int kWarmUps = 3, kSteps = 7;
constexpr double kProfileSeconds = 4;
constexpr double kPeakTflops = 989;  // dense bfloat16 of an H100 or H200

absl::StatusOr<proto::ExecutionPlan> PlanOf(const TrainedModel& trained, const std::string& kind,
                                            const proto::CostTable& costs) {
  MR_ASSIGN_OR_RETURN(const proto::Model model, MakeGpt2(trained.model));
  MR_ASSIGN_OR_RETURN(const KernelNeedsFn needs, NeedsOf(kind));
  PartitionOptions options;
  options.cluster = LocalCluster(kind, trained.pp);
  options.pp = trained.pp;
  options.micro_batch = trained.micro_batch;
  options.micro_batches = trained.micro_batches;
  options.schedule = trained.schedule;
  options.with_eval = options.with_logits = false;
  options.costs = costs;
  MR_ASSIGN_OR_RETURN(proto::ExecutionPlan plan, Partition(model, options, needs));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

// Ids that change from token to token; which does not matter for the speed.
LoadFn Tokens(int64_t vocabulary) {
  return [vocabulary](const proto::Input&, uint64_t step, uint32_t micro_batch, void* memory, uint64_t bytes) {
    int64_t* const ids = static_cast<int64_t*>(memory);
    uint64_t state = step * 1000003 + micro_batch;
    for (uint64_t i = 0; i < bytes / sizeof(int64_t); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      ids[i] = static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(vocabulary));
    }
    return absl::OkStatus();
  };
}

double Parameters(const proto::ExecutionPlan& plan) {
  double parameters = 0;
  for (const proto::PlannedParameter& parameter : plan.parameters()) {
    if (!parameter.trainable() || parameter.name() == "wpe.weight") continue;
    parameters += static_cast<double>(TensorSpec::Of(parameter.type()).elements());
  }
  return parameters;
}

double BusySeconds(const proto::ExecutionPlan& plan, const proto::StepTrace& trace) {
  double busy = 0;
  const auto& list = FindProgram(plan, "train")->ranks(0).instructions();
  for (const proto::Span& span : trace.spans()) {
    if (span.rank() != 0 || list[static_cast<int>(span.instruction())].kind() != proto::Instruction::RUN) continue;
    busy += span.end_seconds() - span.start_seconds() - span.wait_seconds();
  }
  return busy;
}

absl::Status Train(const proto::ExecutionPlan& plan, const TrainedModel& trained, TrainingSpeed* speed) {
  RanksOptions options;
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Device> device, OpenDevice(plan.device_kind(), {}));
  const absl::StatusOr<uint64_t> before = device->MemoryInUse();
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<Ranks> ranks, Ranks::Start(plan, options));
  MR_RETURN_IF_ERROR(ranks->Each([](Seat& seat) -> absl::Status {
    MR_RETURN_IF_ERROR(seat.worker->InitializeParameters());
    return seat.worker->PrepareWeights();
  }));
  ranks->SetFeed(Tokens(trained.model.vocabulary));
  proto::JobConfig job;
  job.set_steps(kWarmUps + kSteps);
  job.mutable_learning_rate()->set_peak(1e-4);
  std::vector<double> seconds;
  for (uint64_t step = 0; step < kWarmUps + kSteps; ++step) {
    MR_ASSIGN_OR_RETURN(const StepOutcome outcome, RunTrainingStep(plan, job, step, step, {}, ranks.get()));
    if (step < kWarmUps) continue;
    seconds.push_back(outcome.report.seconds);
    if (trained.pp > 1 || step + 1 < kWarmUps + kSteps) continue;
    const int instructions = FindProgram(plan, "train")->ranks(0).instructions_size();
    speed->overhead_seconds = (outcome.report.seconds - BusySeconds(plan, outcome.trace)) / instructions;
  }
  const absl::StatusOr<uint64_t> after = device->MemoryInUse();
  if (before.ok() && after.ok()) speed->taken_bytes = static_cast<double>(*after) - static_cast<double>(*before);
  std::sort(seconds.begin(), seconds.end());
  speed->step_seconds = seconds[seconds.size() / 2];
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainingSpeed> MeasureTraining(const TrainedModel& trained, const std::string& device_kind) {
  MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan guessed, PlanOf(trained, device_kind, {}));
  ProfileOptions profile;
  profile.budget_seconds = kProfileSeconds;
  MR_ASSIGN_OR_RETURN(const Profiled profiled, Profile(guessed, {}, profile));
  MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, PlanOf(trained, device_kind, profiled.table));
  MR_ASSIGN_OR_RETURN(const Simulation predicted, Simulate(plan, "train"));
  TrainingSpeed speed;
  speed.predicted_seconds = predicted.seconds;
  for (const proto::Rank& rank : plan.ranks()) speed.arena_bytes += static_cast<double>(rank.arena_bytes());
  const Gpt2Options& model = trained.model;
  speed.tokens = static_cast<double>(trained.micro_batch * trained.micro_batches * model.context);
  speed.flops =
      (6 * Parameters(plan) + 12.0 * static_cast<double>(model.layers * model.context * model.width)) * speed.tokens;
  MR_RETURN_IF_ERROR(Train(plan, trained, &speed));
  return speed;
}

std::vector<TrainedModel> WhatIsTrained() {
  const auto gpt2 = [](const std::string& size, int64_t layers, int64_t heads, int64_t width, int64_t sequences) {
    TrainedModel trained;
    trained.model.layers = layers;
    trained.model.heads = heads;
    trained.model.width = width;
    trained.model.vocabulary = 50304;  // a multiple of 64, as PyTorch's script has
    trained.model.dtype = proto::BF16;
    trained.micro_batch = sequences;
    trained.name = absl::StrCat("GPT-2 ", size, ", ", sequences, " x 1024");
    return trained;
  };
  std::vector<TrainedModel> all = {gpt2("124M", 12, 12, 768, 64), gpt2("350M", 24, 16, 1024, 32),
                                   gpt2("774M", 36, 20, 1280, 16), gpt2("1.5B", 48, 25, 1600, 8)};
  for (int pp : {1, 2, 4}) {
    all.push_back(gpt2("124M", 12, 12, 768, 8));
    all.back().micro_batches = 8;
    all.back().pp = pp;
    absl::StrAppend(&all.back().name, " in 8 micro-batches, ", pp, pp == 1 ? " stage" : " stages");
  }
  return all;
}

std::vector<Figure> MeasureAllTraining() {
  std::vector<Figure> figures;
  for (const TrainedModel& trained : WhatIsTrained()) {
    const absl::StatusOr<TrainingSpeed> speed = MeasureTraining(trained, "cuda");
    if (!speed.ok()) {
      figures.push_back({absl::StrCat(trained.name, ": speed"), 0, "ktokens/s", 0, std::string(speed.status().message())});
      continue;
    }
    const auto add = [&](const std::string& what, double value, const std::string& unit, double roof) {
      figures.push_back({absl::StrCat(trained.name, ": ", what), value, unit, roof, ""});
    };
    add("speed", speed->tokens / speed->step_seconds / 1000, "ktokens/s", 0);
    add("model FLOPs", speed->flops / speed->step_seconds / 1e12, "TFLOP/s", kPeakTflops);
    add("step", 1e3 * speed->step_seconds, "ms", 0);
    add("step as predicted", 1e3 * speed->predicted_seconds, "ms", 0);
    add("memory of the plan", speed->arena_bytes / 1e6, "MB", 0);
    if (speed->taken_bytes > 0) add("memory taken", speed->taken_bytes / 1e6, "MB", 0);
    if (trained.pp == 1) add("overhead of an instruction", 1e6 * speed->overhead_seconds, "us", 0);
  }
  return figures;
}

}  // namespace millrace
