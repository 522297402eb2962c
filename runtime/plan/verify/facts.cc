#include "runtime/plan/verify/facts.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

bool Good(double x) { return std::isfinite(x) && x >= 0; }

absl::Status CheckFigure(const Where& where, absl::string_view name, double value) {
  if (Good(value)) return absl::OkStatus();
  return Broken("figures", where, absl::StrCat(name, " is ", value, "; it must be a number, 0 or more"));
}

absl::Status CheckInitializer(const proto::PlannedParameter& parameter) {
  const proto::Initializer& initializer = parameter.initializer();
  const bool known = initializer.kind() != proto::Initializer::KIND_UNSPECIFIED &&
                     proto::Initializer::Kind_IsValid(initializer.kind());
  if (known && std::isfinite(initializer.value()) && std::isfinite(initializer.scale())) return absl::OkStatus();
  return Broken("index", {},
                absl::StrCat("parameter ", Quoted(parameter.name()), ": its initializer, kind ",
                             static_cast<int>(initializer.kind()), " with value ", initializer.value(), " and scale ",
                             initializer.scale(), ", is none that this build can make"));
}

absl::Status CheckTransferGroups(const proto::ExecutionPlan& plan) {
  for (const proto::TransferGroup& group : plan.transfer_groups()) {
    const auto wrong = [&](absl::string_view why) {
      return Broken("index", {}, absl::StrCat("transfer group ", Quoted(group.name()), " ", why));
    };
    for (int i = 0; i < group.ranks_size(); ++i) {
      if (group.ranks(i) >= static_cast<uint32_t>(plan.ranks_size())) {
        return wrong(absl::StrCat("names rank ", group.ranks(i), " of ", plan.ranks_size()));
      }
      const bool rises = i == 0 || (group.directed() ? group.ranks(i) != group.ranks(i - 1)
                                                     : group.ranks(i) > group.ranks(i - 1));
      if (!rises) return wrong("names a rank twice, or not in ascending order");
    }
    if (group.ranks_size() < 2 || (group.directed() && group.ranks_size() > 2)) {
      return wrong(absl::StrCat("has ", group.ranks_size(), " ranks"));
    }
    if (!proto::TransferGroup::Carries_IsValid(group.carries())) return wrong("carries what this build does not know");
  }
  return absl::OkStatus();
}

absl::Status CheckPredictions(const proto::Program& program) {
  MR_RETURN_IF_ERROR(CheckFigure({&program}, "predicted_seconds", program.predicted_seconds()));
  if (!std::isfinite(program.predicted_bubble())) {
    return Broken("figures", {&program}, absl::StrCat("predicted_bubble is ", program.predicted_bubble()));
  }
  for (const proto::StageProgram& stage : program.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      const std::string here = absl::StrCat("stage ", stage.stage(), ", phase ", static_cast<int>(phase.phase()));
      MR_RETURN_IF_ERROR(CheckFigure({&program}, absl::StrCat(here, ": seconds"), phase.seconds()));
      MR_RETURN_IF_ERROR(CheckFigure({&program}, absl::StrCat(here, ": seconds_shared"), phase.seconds_shared()));
      for (const proto::KernelCall& call : phase.calls()) {
        if (Good(call.seconds()) && Good(call.seconds_shared()) && Good(call.flops())) continue;
        return Broken("figures", {&program},
                      absl::StrCat(here, ": node ", Quoted(call.node()), " takes ", call.seconds(), " seconds (",
                                   call.seconds_shared(), " shared) and ", call.flops(),
                                   " flops; all must be numbers, 0 or more"));
      }
    }
  }
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    const proto::RankProgram& list = program.ranks(rank);
    for (int i = 0; i < list.instructions_size(); ++i) {
      if (!Good(list.instructions(i).seconds())) {  // the text is made for the bad one only
        return CheckFigure({&program, rank, i}, "seconds", list.instructions(i).seconds());
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLinks(const proto::ExecutionPlan& plan) {
  for (int l = 0; l < plan.links_size(); ++l) {
    const proto::PlannedLink& link = plan.links(l);
    const std::string here = absl::StrCat("link ", l, " from rank ", link.from_rank(), " to rank ", link.to_rank());
    for (uint32_t rank : {link.from_rank(), link.to_rank()}) {
      if (rank >= static_cast<uint32_t>(PipelineRanks(plan))) {
        return Broken("index", {}, absl::StrCat(here, ": there are ", PipelineRanks(plan), " ranks"));
      }
    }
    MR_RETURN_IF_ERROR(CheckFigure({}, absl::StrCat(here, ": latency_seconds"), link.latency_seconds()));
    MR_RETURN_IF_ERROR(CheckFigure({}, absl::StrCat(here, ": bytes_per_second"), link.bytes_per_second()));
  }
  return absl::OkStatus();
}

// Where a rank must stand. Of several pipelines every one is the first again; of one, a stage's replicas follow the
// first of them.
absl::Status CheckPlace(const proto::ExecutionPlan& plan, int r, std::vector<uint32_t>* replicas) {
  const int pipeline = PipelineRanks(plan);
  const proto::Rank& rank = plan.ranks(r);
  uint32_t place = static_cast<uint32_t>(r % pipeline), replica = static_cast<uint32_t>(r / pipeline);
  if (plan.dp() < 2 && rank.pipeline() < static_cast<uint32_t>(r)) {
    place = plan.ranks(static_cast<int>(rank.pipeline())).pipeline();
    replica = (*replicas)[place];
  }
  ++(*replicas)[place];
  if (rank.replica() == replica && rank.pipeline() == place) return absl::OkStatus();
  return Broken("index", {nullptr, r},
                absl::StrCat("stands at place ", rank.pipeline(), " of replica ", rank.replica(), "; it must be ", place,
                             " of ", replica));
}

absl::Status CheckDivision(const proto::ExecutionPlan& plan) {
  const bool replicas = HasReplicas(plan);
  if (plan.shard_optimizer() > 3 || (plan.shard_optimizer() > 0 && !replicas)) {
    return Broken("index", {},
                  absl::StrCat("shard_optimizer is ", plan.shard_optimizer(), " with dp = ", plan.dp(),
                               "; this build knows 0, and 1 to 3 where there are replicas"));
  }
  const bool replicas_first = plan.sum_order() == proto::REPLICAS_FIRST;
  if (replicas && plan.shard_optimizer() > 0 && replicas_first != (plan.shard_optimizer() > 1)) {
    return Broken("index", {},
                  absl::StrCat("sum_order is ", proto::SumOrder_Name(plan.sum_order()), " with shard_optimizer = ",
                               plan.shard_optimizer(), "; level 1 sums micro-batches first, 2 and 3 replicas first"));
  }
  return absl::OkStatus();
}

// What is proven of one rank at a place holds of all.
absl::Status CheckReplicas(const proto::ExecutionPlan& plan) {
  std::vector<uint32_t> replicas(plan.ranks_size(), 0);
  for (int r = 0; r < plan.ranks_size(); ++r) {
    const proto::Rank& rank = plan.ranks(r);
    MR_RETURN_IF_ERROR(CheckPlace(plan, r, &replicas));
    const proto::Rank& first = plan.ranks(PlaceOf(plan, r));
    const auto same = [](const proto::Region& a, const proto::Region& b) {
      return a.life() == b.life() && a.offset() == b.offset() && a.bytes() == b.bytes() && a.name() == b.name();
    };
    if (rank.arena_bytes() != first.arena_bytes() ||
        !std::equal(rank.regions().begin(), rank.regions().end(), first.regions().begin(), first.regions().end(),
                    same)) {
      return Broken("matching", {nullptr, r},
                    absl::StrCat("its arena is not laid out as that of rank ", PlaceOf(plan, r),
                                 ", whose replica it is"));
    }
  }
  MR_RETURN_IF_ERROR(CheckDivision(plan));
  if (plan.buckets_size() > 0 && plan.norm_block_elements() == 0) {
    return Broken("figures", {}, "norm_block_elements is 0; the gradient norm is summed over blocks of it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFacts(const proto::ExecutionPlan& plan) {
  if (uint64_t{plan.pp()} * plan.dp() != static_cast<uint64_t>(plan.ranks_size()) || plan.ranks().empty()) {
    return Broken("index", {},
                  absl::StrCat("pp = ", plan.pp(), " times dp = ", plan.dp(), " must be its ranks, which are ",
                               plan.ranks_size()));
  }
  if (plan.programs().empty()) return Broken("index", {}, "has no programs: there is nothing to run");
  if (!proto::SumOrder_IsValid(plan.sum_order())) {
    return Broken("index", {}, absl::StrCat("sum_order ", static_cast<int>(plan.sum_order()), " is not known"));
  }
  MR_RETURN_IF_ERROR(CheckFigure({}, "peak_flops_per_second", plan.peak_flops_per_second()));
  MR_RETURN_IF_ERROR(CheckFigure({}, "costs.instruction_seconds", plan.costs().instruction_seconds()));
  MR_RETURN_IF_ERROR(CheckReplicas(plan));
  MR_RETURN_IF_ERROR(CheckLinks(plan));
  MR_RETURN_IF_ERROR(CheckTransferGroups(plan));
  for (const proto::PlannedParameter& parameter : plan.parameters()) MR_RETURN_IF_ERROR(CheckInitializer(parameter));
  for (const proto::Program& program : plan.programs()) MR_RETURN_IF_ERROR(CheckPredictions(program));
  return absl::OkStatus();
}

}  // namespace millrace
