#include "runtime/job/balance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

MemoryByKind MemoryOf(const proto::Rank& rank) {
  MemoryByKind memory;
  memory.arena = rank.arena_bytes();
  memory.limit = rank.memory_limit();
  for (const proto::Region& region : rank.regions()) {
    switch (region.life()) {
      case proto::PARAMETER:
        memory.parameters += region.bytes();
        break;
      case proto::GRADIENT:
        memory.gradients += region.bytes();
        break;
      case proto::OPTIMIZER:
        memory.optimizer += region.bytes();
        break;
      case proto::PACKED:
        memory.packed += region.bytes();
        break;
      case proto::METRIC:
        memory.other += region.bytes();
        break;
      default:
        (region.name() == "staging" ? memory.other : memory.transient) += region.bytes();
    }
  }
  return memory;
}

absl::Status CheckTrace(const proto::ExecutionPlan& plan, const proto::StepTrace& trace, absl::string_view which) {
  if (trace.plan_hash() == plan.hash() && trace.program() == "train") return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the ", which, " trace is of program '", trace.program(),
                                                    "' of plan ", trace.plan_hash(), ", not of 'train' of ",
                                                    plan.hash()));
}

std::string Milliseconds(double predicted, double measured) {
  return absl::StrFormat("%8.2f %8.2f", predicted * 1e3, measured * 1e3);
}

std::string Mebibytes(uint64_t bytes) { return absl::StrFormat("%9.1f", bytes / 1048576.0); }

}  // namespace

absl::StatusOr<Balance> MakeBalance(const proto::ExecutionPlan& plan, const proto::StepTrace& predicted,
                                    const proto::StepTrace& measured) {
  MR_RETURN_IF_ERROR(CheckTrace(plan, predicted, "predicted"));
  MR_RETURN_IF_ERROR(CheckTrace(plan, measured, "measured"));
  MR_ASSIGN_OR_RETURN(const Simulation before, Summarize(plan, predicted));
  MR_ASSIGN_OR_RETURN(const Simulation after, Summarize(plan, measured));
  const proto::Program* train = FindProgram(plan, "train");
  Balance balance;
  balance.predicted_seconds = before.seconds;
  balance.measured_seconds = after.seconds;
  balance.predicted_bubble = before.bubble_rate;
  balance.measured_bubble = after.bubble_rate;
  double busiest = 0, total = 0;
  for (int rank = 0; rank < plan.ranks_size(); ++rank) {
    RankBalance& row = balance.ranks.emplace_back();
    row.rank = rank;
    row.stages.assign(train->ranks(rank).stages().begin(), train->ranks(rank).stages().end());
    row.predicted = before.ranks[rank];
    row.measured = after.ranks[rank];
    row.memory = MemoryOf(plan.ranks(rank));
    busiest = std::max(busiest, row.measured.busy_seconds);
    total += row.measured.busy_seconds;
  }
  balance.imbalance = total > 0 ? busiest * plan.ranks_size() / total : 0;
  return balance;
}

std::string BalanceText(const Balance& balance) {
  std::string text = absl::StrFormat(
      "Time of a step in ms, predicted and measured (step %.2f and %.2f, bubble %.1f %% and %.1f %%, busiest rank %.2f "
      "times "
      "the mean)\n"
      "rank  stages      forward           backward          weight            communication     idle\n",
      balance.predicted_seconds * 1e3, balance.measured_seconds * 1e3, balance.predicted_bubble * 100,
      balance.measured_bubble * 100, balance.imbalance);
  for (const RankBalance& row : balance.ranks) {
    const SimulatedRank &p = row.predicted, &m = row.measured;
    absl::StrAppendFormat(
        &text, "%4d  %-8s %s %s %s %s %s\n", row.rank, absl::StrJoin(row.stages, ","),
        Milliseconds(p.forward_seconds, m.forward_seconds), Milliseconds(p.backward_seconds, m.backward_seconds),
        Milliseconds(p.weight_seconds, m.weight_seconds),
        Milliseconds(p.communication_seconds, m.communication_seconds), Milliseconds(p.idle_seconds, m.idle_seconds));
  }
  absl::StrAppend(&text, "Memory in MiB\n",
                  "rank  parameters gradients optimizer    packed transient     other     arena     limit\n");
  for (const RankBalance& row : balance.ranks) {
    const MemoryByKind& m = row.memory;
    absl::StrAppendFormat(&text, "%4d   %s %s %s %s %s %s %s %s\n", row.rank, Mebibytes(m.parameters),
                          Mebibytes(m.gradients), Mebibytes(m.optimizer), Mebibytes(m.packed), Mebibytes(m.transient),
                          Mebibytes(m.other), Mebibytes(m.arena), m.limit == 0 ? "     none" : Mebibytes(m.limit));
  }
  return text;
}

}  // namespace millrace
