#include "runtime/plan/verify/facts.h"

#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"

namespace millrace {
namespace {

absl::Status CheckFigure(const Where& where, absl::string_view name, double value) {
  if (std::isfinite(value) && value >= 0) return absl::OkStatus();
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

absl::Status CheckPredictions(const proto::Program& program) {
  MR_RETURN_IF_ERROR(CheckFigure({&program}, "predicted_seconds", program.predicted_seconds()));
  if (!std::isfinite(program.predicted_bubble())) {
    return Broken("figures", {&program}, absl::StrCat("predicted_bubble is ", program.predicted_bubble()));
  }
  for (const proto::StageProgram& stage : program.stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      const std::string here = absl::StrCat("stage ", stage.stage(), ", phase ", static_cast<int>(phase.phase()));
      MR_RETURN_IF_ERROR(CheckFigure({&program}, absl::StrCat(here, ": seconds"), phase.seconds()));
      for (const proto::KernelCall& call : phase.calls()) {
        if (std::isfinite(call.seconds()) && std::isfinite(call.flops()) && call.seconds() >= 0 && call.flops() >= 0) {
          continue;
        }
        return Broken("figures", {&program},
                      absl::StrCat(here, ": node ", Quoted(call.node()), " takes ", call.seconds(), " seconds and ",
                                   call.flops(), " flops; both must be numbers, 0 or more"));
      }
    }
  }
  for (int rank = 0; rank < program.ranks_size(); ++rank) {
    const proto::RankProgram& list = program.ranks(rank);
    for (int i = 0; i < list.instructions_size(); ++i) {
      const double seconds = list.instructions(i).seconds();
      if (std::isfinite(seconds) && seconds >= 0) continue;  // the text is made for the bad one only
      MR_RETURN_IF_ERROR(CheckFigure({&program, rank, i}, "seconds", seconds));
    }
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
  for (const proto::PlannedParameter& parameter : plan.parameters()) MR_RETURN_IF_ERROR(CheckInitializer(parameter));
  for (const proto::Program& program : plan.programs()) MR_RETURN_IF_ERROR(CheckPredictions(program));
  return absl::OkStatus();
}

}  // namespace millrace
