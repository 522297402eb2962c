#include "runtime/job/balance.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/instruction_name.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr size_t kWorst = 10;
constexpr double kSmallShare = 1e-3;  // of the step: what ratios are not told of

absl::Status CheckTrace(const proto::ExecutionPlan& plan, const proto::StepTrace& trace, absl::string_view which) {
  if (trace.plan_hash() == plan.hash() && trace.program() == "train") return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the ", which, " trace is of program '", trace.program(),
                                                    "' of plan ", trace.plan_hash(), ", not of 'train' of ",
                                                    plan.hash()));
}

double WorkSeconds(const proto::Span& span) {
  return std::max(0.0, span.end_seconds() - span.start_seconds() - span.wait_seconds());
}

// (busiest - mean) / mean, and who is busiest.
std::pair<double, int> Imbalance(const Attribution& attribution) {
  double total = 0, most = 0;
  int busiest = 0;
  for (size_t rank = 0; rank < attribution.ranks.size(); ++rank) {
    const double kernels = attribution.ranks[rank].Kernels();
    total += kernels;
    if (kernels > most) most = kernels, busiest = static_cast<int>(rank);
  }
  const double mean = total / static_cast<double>(std::max<size_t>(1, attribution.ranks.size()));
  return {mean > 0 ? (most - mean) / mean : 0, busiest};
}

template <typename Key>
std::vector<InstructionTimes> Worst(std::vector<InstructionTimes> all, Key key) {
  std::stable_sort(all.begin(), all.end(),
                   [&](const InstructionTimes& a, const InstructionTimes& b) { return key(a) > key(b); });
  if (all.size() > kWorst) all.resize(kWorst);
  return all;
}

}  // namespace

MemoryByKind MemoryOf(const proto::Rank& rank) {
  MemoryByKind memory;
  memory.arena = rank.arena_bytes();
  memory.outside = rank.outside_bytes();
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

std::vector<InstructionTimes> CompareInstructions(const proto::Program& train, const proto::StepTrace& predicted,
                                                  const proto::StepTrace& measured) {
  std::map<std::pair<uint32_t, uint32_t>, double> before;
  for (const proto::Span& span : predicted.spans()) before[{span.rank(), span.instruction()}] = WorkSeconds(span);
  std::vector<InstructionTimes> all;
  for (const proto::Span& span : measured.spans()) {
    const auto known = before.find({span.rank(), span.instruction()});
    const proto::Instruction& instruction = train.ranks(span.rank()).instructions(span.instruction());
    if (known == before.end() || instruction.channel() != 0) continue;
    const bool staged = instruction.kind() == proto::Instruction::RUN || instruction.kind() == proto::Instruction::LOAD;
    all.push_back({static_cast<int>(span.rank()), static_cast<int>(span.instruction()),
                   staged ? static_cast<int>(instruction.stage()) : -1, InstructionName(train, instruction),
                   known->second, WorkSeconds(span)});
  }
  std::sort(all.begin(), all.end(), [](const InstructionTimes& a, const InstructionTimes& b) {
    return std::pair(a.rank, a.instruction) < std::pair(b.rank, b.instruction);
  });
  return all;
}

absl::StatusOr<Balance> MakeBalance(const proto::ExecutionPlan& plan, const proto::StepTrace& predicted,
                                    const proto::StepTrace& measured) {
  MR_RETURN_IF_ERROR(CheckTrace(plan, predicted, "predicted"));
  MR_RETURN_IF_ERROR(CheckTrace(plan, measured, "measured"));
  MR_ASSIGN_OR_RETURN(const Simulation before, Summarize(plan, predicted));
  MR_ASSIGN_OR_RETURN(const Simulation after, Summarize(plan, measured));
  const proto::Program& train = *FindProgram(plan, "train");
  Balance balance;
  MR_ASSIGN_OR_RETURN(balance.predicted, Attribute(plan, predicted));
  MR_ASSIGN_OR_RETURN(balance.measured, Attribute(plan, measured));
  balance.predicted_seconds = before.seconds;
  balance.measured_seconds = after.seconds;
  balance.predicted_bubble = before.bubble_rate;
  balance.measured_bubble = after.bubble_rate;
  balance.predicted_imbalance = Imbalance(balance.predicted).first;
  std::tie(balance.measured_imbalance, balance.busiest_rank) = Imbalance(balance.measured);
  for (int rank = 0; rank < PipelineRanks(plan); ++rank) {
    RankBalance& row = balance.ranks.emplace_back();
    row.rank = rank;
    row.stages.assign(train.ranks(rank).stages().begin(), train.ranks(rank).stages().end());
    row.predicted = before.ranks[rank];
    row.measured = after.ranks[rank];
    row.memory = MemoryOf(plan.ranks(rank));
  }
  std::vector<InstructionTimes> all = CompareInstructions(train, predicted, measured);
  balance.worst_by_difference = Worst(all, [](const InstructionTimes& t) { return std::abs(t.difference()); });
  std::erase_if(all, [&](const InstructionTimes& t) {
    const auto kind = train.ranks(t.rank).instructions(t.instruction).kind();
    return kind != proto::Instruction::RUN || t.predicted <= 0 || t.measured <= 0 ||
           std::max(t.predicted, t.measured) < kSmallShare * after.seconds;
  });
  balance.worst_by_ratio =
      Worst(std::move(all), [](const InstructionTimes& t) { return std::abs(std::log(t.ratio())); });
  return balance;
}

}  // namespace millrace
