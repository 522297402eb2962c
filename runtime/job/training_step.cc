#include "runtime/job/training_step.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/job/agree.h"
#include "runtime/job/plan_facts.h"
#include "runtime/job/shared_clock.h"
#include "runtime/optimizer/learning_rate.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

// What a rank tells the others of a step. Times are rank 0's.
struct RankStep {
  double begin = 0, seconds = 0;
  double busy_seconds = 0, span_seconds = 0;  // of its RUNs: SimulatedRank
  bool stop = false;
};

// Simulation::bubble_rate.
double BubbleOf(const std::vector<RankStep>& ranks) {
  double busy = 0, longest = 0;
  for (const RankStep& rank : ranks) {
    busy += rank.busy_seconds;
    longest = std::max(longest, rank.span_seconds);
  }
  return longest > 0 ? 1 - busy / ranks.size() / longest : 0;
}

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
                                            uint64_t step, uint64_t optimizer_steps, const StepOptions& options,
                                            Ranks* ranks) {
  const StepSettings settings = SettingsOf(config, step, optimizer_steps);
  std::vector<StepResult> results(ranks->size());
  const double begin = Now() + options.behind_root;
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) -> absl::Status {
    seat.whereabouts->Begin("train", step + 1);
    MR_ASSIGN_OR_RETURN(results[seat.rank], seat.worker->TrainStep(settings));
    seat.whereabouts->Between("after the step");
    return absl::OkStatus();
  }));
  const double seconds = Now() + options.behind_root - begin;

  StepOutcome outcome;
  outcome.trace.set_schema_version(kSchemaVersion);
  outcome.trace.set_plan_hash(plan.hash());
  outcome.trace.set_program("train");
  outcome.trace.set_step(step + 1);
  // Replicas do the same at the same time: the first one stands for all.
  const int traced = FindProgram(plan, "train")->ranks_size();
  for (int rank : ranks->here()) {
    if (rank >= traced) continue;
    MR_RETURN_IF_ERROR(ranks->worker(rank).AppendSpans(begin - options.behind_root, &outcome.trace));
  }
  MR_ASSIGN_OR_RETURN(const Simulation measured, Summarize(plan, outcome.trace));
  std::vector<RankStep> all(ranks->size());
  for (int rank : ranks->here()) {
    const SimulatedRank figures = rank < traced ? measured.ranks[rank] : SimulatedRank();
    const bool stop = options.stop != nullptr && options.stop->load();
    all[rank] = {begin, seconds, figures.busy_seconds, figures.span_seconds, stop};
  }
  MR_RETURN_IF_ERROR(Share(ranks, &all));
  outcome.stop = std::any_of(all.begin(), all.end(), [](const RankStep& rank) { return rank.stop; });
  outcome.trace.set_step_seconds(all[0].seconds);
  for (proto::Span& span : *outcome.trace.mutable_spans()) {
    span.set_start_seconds(span.start_seconds() + (begin - all[0].begin));
    span.set_end_seconds(span.end_seconds() + (begin - all[0].begin));
  }

  const StepResult& result = results[ranks->this_process()];
  StepReport& report = outcome.report;
  report.step = step + 1;
  report.steps = config.steps();
  report.loss = result.loss_count > 0 ? result.loss_sum / result.loss_count : 0;
  report.gradient_norm = result.gradient_norm;
  report.learning_rate = settings.learning_rate;
  report.seconds = all[0].seconds;
  report.tokens = SamplesPerStep(plan, *FindProgram(plan, "train")) * TokensPerSample(plan);
  report.counts_tokens = HasTokens(plan);
  report.skipped = result.skipped;
  report.bubble = BubbleOf({all.begin(), all.begin() + traced});
  report.mfu = FlopsUtilization(plan, report.seconds);
  return outcome;
}

absl::StatusOr<proto::StepTrace> WholeTrace(const proto::StepTrace& trace, Ranks* ranks) {
  if (ranks->all_here()) return trace;
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> parts, GatherAtRoot(ranks, CanonicalBytes(trace)));
  if (!ranks->has_root()) return trace;
  proto::StepTrace whole = trace;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int process = ranks->processes()[i];
    if (process == ranks->this_process()) continue;
    proto::StepTrace part;
    MR_RETURN_IF_ERROR(ParseMessage(parts[i], absl::StrCat("the trace of rank ", process), &part));
    whole.mutable_spans()->MergeFrom(part.spans());
  }
  return whole;
}

}  // namespace millrace
