#include "runtime/job/training_step.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/job/plan_facts.h"
#include "runtime/optimizer/learning_rate.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Share of the peak of all devices that the plan's own count of operations used.
double FlopsUtilization(const proto::ExecutionPlan& plan, double seconds) {
  const double peak = plan.peak_flops_per_second() * plan.ranks_size();
  return peak > 0 && seconds > 0
             ? std::max<uint32_t>(1, plan.dp()) * FlopsOf(*FindProgram(plan, "train")) / (peak * seconds)
             : 0;
}

}  // namespace

StepSettings SettingsOf(const proto::JobConfig& config, uint64_t step, uint64_t optimizer_steps) {
  const proto::OptimizerConfig& optimizer = config.optimizer();
  StepSettings settings;
  settings.step = step;
  settings.optimizer_step = optimizer_steps + 1;
  settings.learning_rate = LearningRateAt(config.learning_rate(), step, config.steps());
  settings.beta1 = optimizer.beta1();
  settings.beta2 = optimizer.beta2();
  settings.epsilon = optimizer.epsilon();
  settings.weight_decay = optimizer.weight_decay();
  settings.momentum = optimizer.momentum();
  settings.nesterov = optimizer.nesterov();
  settings.clip_norm = optimizer.clip_norm();
  return settings;
}

absl::StatusOr<StepOutcome> RunTrainingStep(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                            uint64_t step, uint64_t optimizer_steps, Ranks* ranks) {
  const StepSettings settings = SettingsOf(config, step, optimizer_steps);
  std::vector<StepResult> results(ranks->size());
  const double begin = Now();
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
    MR_ASSIGN_OR_RETURN(results[seat.rank], seat.worker->TrainStep(settings));
    return absl::OkStatus();
  }));
  const double seconds = Now() - begin;

  StepOutcome outcome;
  outcome.trace.set_schema_version(kSchemaVersion);
  outcome.trace.set_plan_hash(plan.hash());
  outcome.trace.set_program("train");
  outcome.trace.set_step(step + 1);
  outcome.trace.set_step_seconds(seconds);
  // Replicas do the same at the same time: the first one stands for all.
  for (int rank = 0; rank < PipelineRanks(plan); ++rank) ranks->worker(rank).AppendSpans(begin, &outcome.trace);
  MR_ASSIGN_OR_RETURN(const Simulation measured, Summarize(plan, outcome.trace));

  const StepResult& result = results[0];
  StepReport& report = outcome.report;
  report.step = step + 1;
  report.steps = config.steps();
  report.loss = result.loss_count > 0 ? result.loss_sum / result.loss_count : 0;
  report.gradient_norm = result.gradient_norm;
  report.learning_rate = settings.learning_rate;
  report.seconds = seconds;
  report.tokens = SamplesPerStep(plan, *FindProgram(plan, "train")) * TokensPerSample(plan);
  report.counts_tokens = HasTokens(plan);
  report.skipped = result.skipped;
  report.bubble = measured.bubble_rate;
  report.mfu = FlopsUtilization(plan, seconds);
  return outcome;
}

}  // namespace millrace
