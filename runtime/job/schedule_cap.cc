#include "runtime/job/schedule_cap.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

using proto::Instruction;

using TimesOf = std::map<std::pair<uint32_t, uint32_t>, double>;  // (rank, instruction) -> seconds of the work itself

absl::StatusOr<TimesOf> Measure(const proto::Program& train, const proto::StepTrace& trace) {
  TimesOf times;
  for (const proto::Span& span : trace.spans()) {
    if (span.rank() >= train.ranks_size() || span.instruction() >= train.ranks(span.rank()).instructions_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("trace: rank ", span.rank(), " has no instruction ", span.instruction()));
    }
    times[{span.rank(), span.instruction()}] =
        std::max(0.0, span.end_seconds() - span.start_seconds() - span.wait_seconds());
  }
  return times;
}

bool Transfers(Instruction::Kind kind) {
  return kind == Instruction::SEND || kind == Instruction::RECV || kind == Instruction::GROUP;
}

// The plan's train program with every RUN taking as long as it was measured, transfers free, and the end of the step
// free or as measured.
absl::StatusOr<Simulation> OnPaper(proto::ExecutionPlan plan, const TimesOf& times, bool with_end) {
  // Ranks that share cores have slowed each other in the measured times already.
  for (proto::Rank& rank : *plan.mutable_ranks()) rank.clear_shares();
  plan.clear_links();
  for (proto::Program& program : *plan.mutable_programs()) {
    if (program.name() != "train") continue;
    for (proto::RankProgram& rank : *program.mutable_ranks()) {
      for (int i = 0; i < rank.instructions_size(); ++i) {
        Instruction& instruction = *rank.mutable_instructions(i);
        const auto measured = times.find({rank.rank(), static_cast<uint32_t>(i)});
        const bool counts = instruction.kind() == Instruction::RUN || (with_end && !Transfers(instruction.kind()));
        instruction.set_seconds(counts && measured != times.end() ? measured->second : 0);
        for (Instruction& member : *instruction.mutable_group()) member.set_seconds(0);
      }
    }
  }
  return Simulate(plan, "train");
}

}  // namespace

absl::StatusOr<ScheduleCap> MakeScheduleCap(const proto::ExecutionPlan& plan, const proto::StepTrace& measured) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr || measured.program() != "train" || measured.plan_hash() != plan.hash()) {
    return absl::FailedPreconditionError("the trace is not of this plan's program 'train'");
  }
  MR_ASSIGN_OR_RETURN(const TimesOf times, Measure(*train, measured));
  MR_ASSIGN_OR_RETURN(const Simulation bare, OnPaper(plan, times, /*with_end=*/false));
  MR_ASSIGN_OR_RETURN(const Simulation whole, OnPaper(plan, times, /*with_end=*/true));
  MR_ASSIGN_OR_RETURN(const Simulation real, Summarize(plan, measured));
  ScheduleCap cap;
  for (const SimulatedRank& rank : bare.ranks) {
    cap.ideal = std::max(cap.ideal, rank.busy_seconds);
    cap.mean += rank.busy_seconds / static_cast<double>(bare.ranks.size());
  }
  cap.cap = bare.seconds;
  cap.with_end = whole.seconds;
  cap.measured = real.seconds;
  return cap;
}

std::string LimitText(const StepParts& parts) {
  const double step = parts.step();
  if (!(step > 0)) return "nothing: the step takes no time";
  struct Part {
    double seconds;
    const char* what;
  };
  const Part lost[] = {{parts.imbalance, "imbalance: the busiest rank's kernels beyond the mean are"},
                       {parts.bubble, "the bubble: what the schedule adds to the busiest rank's work is"},
                       {parts.end, "the end of the step: reduce, norm, optimizer and packing are"},
                       {parts.transfers, "links and waiting: transfers that lie bare, and waiting for a core, are"}};
  const Part& most = *std::max_element(std::begin(lost), std::end(lost),
                                       [](const Part& a, const Part& b) { return a.seconds < b.seconds; });
  const double work = 100 * parts.work / step;
  if (parts.work >= 0.8 * step || most.seconds < 0.05 * step) {
    return absl::StrFormat("compute: the kernels of a rank are %.0f %% of the step on average", work);
  }
  return absl::StrFormat("%s %.0f %% of the step; the kernels of a rank are %.0f %% on average", most.what,
                         100 * most.seconds / step, work);
}

std::string ScheduleCapText(const ScheduleCap& cap, const std::string& schedule) {
  return absl::StrFormat(
      "Schedule %s with these kernel times takes %.2f ms at best; its busiest rank works %.1f %%.\n"
      "The step took %.2f ms: %.1f %% of the schedule's cap. The rest: %.2f ms reduce, norm, optimizer,\n"
      "packing; %.2f ms transfers and waiting for a core.\n",
      schedule, cap.cap * 1e3, 100 * cap.schedule_share(), cap.measured * 1e3, 100 * cap.cap_share(),
      std::max(0.0, cap.with_end - cap.cap) * 1e3, (cap.measured - cap.with_end) * 1e3);
}

}  // namespace millrace
