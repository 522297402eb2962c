#include "tools/cli/explain.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "runtime/plan/plan.h"
#include "tools/report/escape.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

std::string NodesText(const std::vector<std::string>& nodes) {
  const size_t n = nodes.size();
  if (n <= 6) return TerminalText(absl::StrJoin(nodes, " "), 600);
  return TerminalText(absl::StrCat(nodes[0], " ", nodes[1], " ... ", nodes[n - 2], " ", nodes[n - 1]), 600);
}

// What crosses between stages b and b + 1 for one micro-batch, and what a unit to either side would change.
std::string BoundariesText(const proto::Program& program, const Explanation& explanation) {
  std::string out;
  for (const Boundary& b : explanation.boundaries) {
    absl::StrAppendFormat(&out, "  %d -> %d  after %s: %s forward, %s back, %s of links\n", b.stage, b.stage + 1,
                          TerminalText(b.ends_after), BytesText(b.forward_bytes), BytesText(b.backward_bytes),
                          b.link_seconds > 0 ? SecondsText(b.link_seconds) : "nothing");
    for (int e : b.edges) {
      const proto::Edge& edge = program.edges(e);
      absl::StrAppendFormat(&out, "          %s %s, %s, stage %d to %d\n", edge.backward() ? "gradient" : "value",
                            TerminalText(edge.name()), BytesText(edge.bytes()), edge.from_stage(), edge.to_stage());
    }
    if (!explanation.moves.ok()) continue;
    for (const auto& [way, move] : {std::pair("earlier", b.earlier), std::pair("later", b.later)}) {
      absl::StrAppendFormat(&out, "          a unit %s: %s\n", way, MoveText(move));
    }
  }
  if (out.empty()) return "  nothing: one stage\n";
  if (!explanation.moves.ok()) {
    absl::StrAppend(&out, "  not moved: ", TerminalText(std::string(explanation.moves.message()), 400), "\n");
  }
  return out;
}

std::string LargestNodes(const StageFigures& f) {
  std::vector<std::string> slow, heavy;
  for (size_t n = 0; n < std::min<size_t>(3, f.largest.size()); ++n) {
    slow.push_back(absl::StrFormat("%s %.0f %%", TerminalText(f.largest[n].name, 40),
                                   f.seconds() > 0 ? 100 * f.largest[n].seconds / f.seconds() : 0));
  }
  for (size_t n = 0; n < std::min<size_t>(3, f.heaviest.size()); ++n) {
    heavy.push_back(absl::StrCat(TerminalText(f.heaviest[n].name, 40), " ", BytesText(f.heaviest[n].bytes())));
  }
  return absl::StrCat("     time: ", absl::StrJoin(slow, ", "), "\n     bytes: ", absl::StrJoin(heavy, ", "), "\n");
}

std::string StageTable(const std::vector<StageFigures>& stages) {
  double total = 0;
  bool placed = false;
  for (const StageFigures& f : stages) {
    total += f.forward + f.recompute + f.backward + f.weight;
    placed |= f.recompute > 0;
  }
  std::string out = absl::StrCat("stage rank nodes  parameters   forward ", placed ? "recompute " : "",
                                 " backward    weight     share     arena\n");
  for (const StageFigures& f : stages) {
    const double share = total > 0 ? 100 * (f.forward + f.recompute + f.backward + f.weight) / total : 0;
    absl::StrAppendFormat(&out, "%5d %4d %5d %11d %9s ", f.stage, f.rank, f.nodes, f.parameters,
                          SecondsText(f.forward));
    if (placed) absl::StrAppendFormat(&out, "%9s ", f.recompute > 0 ? SecondsText(f.recompute) : "-");
    absl::StrAppendFormat(&out, "%9s %9s %8.1f%% %9s\n", SecondsText(f.backward),
                          f.weight > 0 ? SecondsText(f.weight) : "-", share, BytesText(f.arena));
  }
  return out;
}

std::string MemoryTable(const std::vector<StageFigures>& stages) {
  const char* kinds[] = {"weights", "gradients", "optimizer", "packed", "stash", "edges", "scratch", "other"};
  std::string out = "rank ";
  for (const char* kind : kinds) absl::StrAppendFormat(&out, " %10s", kind);
  out += "\n";
  std::set<int> done;
  for (const StageFigures& f : stages) {
    if (!done.insert(f.rank).second) continue;
    absl::StrAppendFormat(&out, "%4d ", f.rank);
    for (const char* kind : kinds) {
      const auto it = f.bytes.find(kind);
      absl::StrAppendFormat(&out, " %10s", it == f.bytes.end() ? "-" : BytesText(it->second));
    }
    out += "\n";
  }
  return out;
}

// Where the predicted times come from.
std::string CostsText(const proto::CostSource& costs) {
  if (costs.hash().empty()) {
    return absl::StrFormat(
        "times: %d kinds of kernel calls, all modelled from FLOPs and bytes (measure them: millrace "
        "profile)\n",
        costs.calls_modelled());
  }
  return absl::StrFormat("times: %d kinds of kernel calls measured on %s, %d modelled; costs %s\n",
                         costs.calls_measured(), costs.device_name(), costs.calls_modelled(),
                         costs.hash().substr(0, 16));
}

std::string ReplicasText(const proto::ExecutionPlan& plan) {
  if (!HasReplicas(plan)) return "";
  constexpr absl::string_view kDivided[] = {"", " that divide optimizer state", " that divide optimizer state and gradients",
                                            " that divide optimizer state, gradients and parameters"};
  const absl::string_view divided = kDivided[std::min<uint32_t>(plan.shard_optimizer(), 3)];
  if (plan.dp() > 1) return absl::StrCat(" in each of ", plan.dp(), " replicas", divided);
  std::vector<size_t> of_stage;
  for (int rank = 0; rank < plan.ranks_size(); ++rank) {
    if (PlaceOf(plan, rank) == rank) of_stage.push_back(RanksAt(plan, rank).size());
  }
  return absl::StrCat(", replicas of the stages ", absl::StrJoin(of_stage, "-"), divided);
}

}  // namespace

std::string ExplainSummary(const proto::ExecutionPlan& plan) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return "the plan has no train program\n";
  std::string out = absl::StrFormat(
      "%s: %d stages (cut %s)%s, schedule %s, recompute %s, %d micro-batches of %d, optimizer %s\n"
      "predicted step %s, bubble %.1f %%; plan %s\n",
      TerminalText(plan.model_name()), train->stages_size(), plan.cut(), ReplicasText(plan), train->schedule(),
      TerminalText(train->recompute().empty() ? "none" : train->recompute()), train->micro_batches(),
      train->micro_batch_size(), plan.optimizer(), SecondsText(train->predicted_seconds()),
      100 * train->predicted_bubble(), plan.hash().substr(0, 16));
  return absl::StrCat(out, CostsText(plan.costs()), StageTable(FiguresOfStages(plan, *train)));
}

std::string ExplainFully(const proto::ExecutionPlan& plan, const Explanation& explanation, const DrawOptions& draw) {
  std::string out = ExplainSummary(plan);
  const proto::Program& train = *FindProgram(plan, "train");
  for (size_t i = 0; i < explanation.limits.size(); ++i) {
    const std::string limit = absl::StrReplaceAll(TerminalText(explanation.limits[i], 300), {{"; ", ";\n           "}});
    absl::StrAppend(&out, i == 0 ? "limited by " : "           ", limit, "\n");
  }
  absl::StrAppend(&out, "\nmemory of each rank (packed: weights in the kernels' own layout)\n",
                  MemoryTable(explanation.stages));
  absl::StrAppend(&out,
                  "\nwhat fills each stage; what of it takes longest, and most bytes (weights and results kept)\n");
  for (const StageFigures& f : explanation.stages) {
    absl::StrAppend(&out, "  ", f.stage, ": ", NodesText(f.forward_nodes), "\n", LargestNodes(f));
  }
  absl::StrAppend(&out, "\nwhat crosses between stages, of a micro-batch\n", BoundariesText(train, explanation));
  if (explanation.times.ok()) {
    absl::StrAppend(&out, "\npredicted step\n", DrawTimeline(plan, explanation.trace, draw));
  } else {
    absl::StrAppend(&out, "\nno prediction: ", explanation.times.status().message(), "\n");
  }
  return out;
}

namespace {

nlohmann::ordered_json MoveJson(const BoundaryMove& move) {
  if (move.ends_after.empty()) return {{"why_not", move.why_not}};
  return {{"ends_after", move.ends_after},
          {"step_change_seconds", move.step_change},
          {"crossing_change_bytes", move.crossing_change},
          {"largest_arena_change_bytes", move.arena_change}};
}

nlohmann::ordered_json StageJson(const StageFigures& f, const proto::StageProgram& program) {
  nlohmann::ordered_json stage;
  stage["stage"] = f.stage;
  stage["rank"] = f.rank;
  stage["parameters"] = f.parameters;
  stage["forward_seconds"] = f.forward;
  stage["backward_seconds"] = f.backward;
  stage["weight_seconds"] = f.weight;
  stage["recompute_seconds"] = f.recompute;
  stage["arena_bytes"] = f.arena;
  stage["bytes"] = f.bytes;
  stage["peak_in_flight"] = f.peak_in_flight;
  for (const auto& [key, nodes] : {std::pair("largest", &f.largest), std::pair("heaviest", &f.heaviest)}) {
    for (const NodeShare& node : *nodes) {
      stage[key].push_back({{"node", node.name},
                            {"seconds", node.seconds},
                            {"parameter_bytes", node.parameter_bytes},
                            {"kept_bytes", node.kept_bytes}});
    }
  }
  stage["nodes"] = std::vector<std::string>(program.nodes().begin(), program.nodes().end());
  return stage;
}

}  // namespace

std::string ExplainJson(const proto::ExecutionPlan& plan, const Explanation& explanation) {
  nlohmann::ordered_json out;
  const proto::Program& train = *FindProgram(plan, "train");
  out["hash"] = plan.hash();
  out["model"] = plan.model_name();
  out["pp"] = plan.pp();
  out["cut"] = plan.cut();
  out["optimizer"] = plan.optimizer();
  out["schedule"] = train.schedule();
  out["recompute"] = train.recompute().empty() ? "none" : train.recompute();
  out["micro_batch"] = train.micro_batch_size();
  out["micro_batches"] = train.micro_batches();
  out["predicted_seconds"] = train.predicted_seconds();
  out["costs"] = {{"measured", plan.costs().measured()},
                  {"device", plan.costs().device_name()},
                  {"hash", plan.costs().hash()},
                  {"calls_measured", plan.costs().calls_measured()},
                  {"calls_modelled", plan.costs().calls_modelled()}};
  out["bubble_rate"] = train.predicted_bubble();
  out["limited_by"] = explanation.limits;
  if (explanation.step.ok()) {
    const StepParts parts = explanation.step->parts();
    out["step_parts"] = {{"work_seconds", parts.work},
                         {"imbalance_seconds", parts.imbalance},
                         {"bubble_seconds", parts.bubble},
                         {"end_seconds", parts.end},
                         {"transfers_seconds", parts.transfers}};
  }
  for (const StageFigures& f : explanation.stages) out["stages"].push_back(StageJson(f, train.stages(f.stage)));
  for (const Boundary& b : explanation.boundaries) {
    nlohmann::ordered_json boundary = {{"from", b.stage},
                                       {"to", b.stage + 1},
                                       {"ends_after", b.ends_after},
                                       {"forward_bytes", b.forward_bytes},
                                       {"backward_bytes", b.backward_bytes},
                                       {"link_seconds", b.link_seconds}};
    if (explanation.moves.ok()) {
      boundary["earlier"] = MoveJson(b.earlier);
      boundary["later"] = MoveJson(b.later);
    }
    out["boundaries"].push_back(boundary);
  }
  if (!explanation.moves.ok()) out["not_moved"] = std::string(explanation.moves.message());
  for (const proto::Edge& edge : train.edges()) {
    out["edges"].push_back({{"name", edge.name()},
                            {"from", edge.from_stage()},
                            {"to", edge.to_stage()},
                            {"backward", edge.backward()},
                            {"bytes", edge.bytes()}});
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace millrace
