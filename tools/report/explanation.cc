#include "tools/report/explanation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tools/report/costs.h"
#include "tools/report/replan.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

constexpr double kFull = 0.95;  // of a device's memory: too full to take more

std::vector<Boundary> BoundariesOf(const proto::Program& program, const std::vector<StageFigures>& stages) {
  std::vector<double> seconds(program.edges_size(), 0);  // of one transfer, by edge
  for (const proto::RankProgram& rank : program.ranks()) {
    for (const proto::Instruction& instruction : rank.instructions()) {
      const auto note = [&](const proto::Instruction& send) {
        if (send.kind() == proto::Instruction::SEND && send.edge() < seconds.size())
          seconds[send.edge()] = send.seconds();
      };
      note(instruction);
      for (const proto::Instruction& member : instruction.group()) note(member);
    }
  }
  std::vector<Boundary> boundaries(std::max(0, program.stages_size() - 1));
  for (size_t b = 0; b < boundaries.size(); ++b) {
    const std::vector<std::string>& nodes = stages[b].forward_nodes;
    boundaries[b].stage = static_cast<int>(b);
    if (!nodes.empty()) boundaries[b].ends_after = nodes.back();
    for (int e = 0; e < program.edges_size(); ++e) {
      const proto::Edge& edge = program.edges(e);
      if (std::min(edge.from_stage(), edge.to_stage()) > b || std::max(edge.from_stage(), edge.to_stage()) <= b)
        continue;
      boundaries[b].edges.push_back(e);
      (edge.backward() ? boundaries[b].backward_bytes : boundaries[b].forward_bytes) += edge.bytes();
      boundaries[b].link_seconds += seconds[e];
    }
  }
  return boundaries;
}

absl::StatusOr<BoundaryMove> Move(Replanner* replanner, const CutFigures& present, int boundary, int by) {
  BoundaryMove move;
  std::vector<int> cut = replanner->present();
  const int s = boundary + 1;
  cut[s] += by;
  const int end = s + 1 < static_cast<int>(cut.size()) ? cut[s + 1] : replanner->units();
  if (cut[s] <= cut[s - 1] || cut[s] >= end) {
    move.why_not = absl::StrCat("stage ", by < 0 ? boundary : boundary + 1, " would be empty");
    return move;
  }
  const absl::StatusOr<CutFigures> moved = replanner->At(cut);
  if (absl::IsResourceExhausted(moved.status())) {
    move.why_not = "it does not fit: a device's memory is too small";
    return move;
  }
  MR_RETURN_IF_ERROR(moved.status());
  move.ends_after = replanner->CutAfter(cut)[boundary];
  move.step_change = moved->seconds - present.seconds;
  move.crossing_change =
      static_cast<double>(moved->crossing[boundary]) - static_cast<double>(present.crossing[boundary]);
  move.arena_change = static_cast<double>(moved->largest_arena) - static_cast<double>(present.largest_arena);
  return move;
}

absl::Status MoveBoundaries(const proto::ExecutionPlan& plan, const proto::Model& model,
                            std::vector<Boundary>* boundaries) {
  if (boundaries->empty()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(const proto::CostTable costs, PlannedCosts(plan));
  MR_ASSIGN_OR_RETURN(Replanner replanner, Replanner::Make(plan, model, costs));
  MR_ASSIGN_OR_RETURN(const CutFigures present, replanner.At(replanner.present()));
  const std::vector<std::string> after = replanner.CutAfter(replanner.present());
  for (Boundary& boundary : *boundaries) {
    boundary.ends_after = after[boundary.stage];
    MR_ASSIGN_OR_RETURN(boundary.earlier, Move(&replanner, present, boundary.stage, -1));
    MR_ASSIGN_OR_RETURN(boundary.later, Move(&replanner, present, boundary.stage, +1));
  }
  return absl::OkStatus();
}

// What else stands in the way, beside the largest part of the step.
void AddLimits(const proto::ExecutionPlan& plan, Explanation* out) {
  if (out->step.ok()) {
    const StepParts parts = out->step->parts();
    out->limits.push_back(LimitText(parts));
    if (parts.imbalance > 0.05 * parts.step()) {
      const auto slowest =
          std::max_element(out->stages.begin(), out->stages.end(),
                           [](const StageFigures& a, const StageFigures& b) { return a.seconds() < b.seconds(); });
      out->limits.push_back(absl::StrFormat("stage %d takes longest, %s a micro-batch: the others wait for it",
                                            slowest->stage, SecondsText(slowest->seconds())));
    }
  }
  if (out->times.ok()) {
    for (size_t rank = 0; rank < out->times->ranks.size(); ++rank) {
      const double link = out->times->ranks[rank].Of(Wait::kLink);
      if (link > 0.05 * out->times->seconds) {
        out->limits.push_back(absl::StrFormat("rank %d waits %s of the step for links", rank, SecondsText(link)));
      }
    }
  }
  for (const proto::Rank& rank : plan.ranks()) {
    const double used = static_cast<double>(rank.arena_bytes()) + static_cast<double>(rank.outside_bytes());
    const double limit = static_cast<double>(rank.memory_limit());
    if (limit > 0 && used > kFull * limit) {
      out->limits.push_back(
          absl::StrFormat("memory: rank %d uses %s of %s, so that no stage, schedule or micro-batch "
                          "that needs more can be had",
                          rank.rank(), BytesText(used), BytesText(limit)));
    }
  }
}

}  // namespace

absl::StatusOr<Explanation> Explain(const proto::ExecutionPlan& plan, const proto::Model* model) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return absl::FailedPreconditionError("the plan has no program 'train'");
  Explanation out;
  out.stages = FiguresOfStages(plan, *train);
  out.boundaries = BoundariesOf(*train, out.stages);
  out.moves = model == nullptr ? absl::NotFoundError("name the model with --model=GRAPH to see what moving them costs")
                               : MoveBoundaries(plan, *model, &out.boundaries);
  absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  if (simulation.ok()) {
    for (StageFigures& stage : out.stages) stage.peak_in_flight = simulation->peak_in_flight[stage.stage];
    out.trace = std::move(simulation->trace);
    out.step = MakeScheduleCap(plan, out.trace);
    out.times = Attribute(plan, out.trace);
  } else {
    out.step = simulation.status();
    out.times = simulation.status();
  }
  AddLimits(plan, &out);
  return out;
}

std::string MoveText(const BoundaryMove& move) {
  if (move.ends_after.empty()) return move.why_not;
  const auto bytes = [](double change) { return absl::StrCat(change < 0 ? "-" : "+", BytesText(std::abs(change))); };
  return absl::StrFormat("step %s%s, crossing %s, largest arena %s", move.step_change < 0 ? "-" : "+",
                         SecondsText(std::abs(move.step_change)), bytes(move.crossing_change),
                         bytes(move.arena_change));
}

}  // namespace millrace
