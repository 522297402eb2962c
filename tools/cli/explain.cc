#include "tools/cli/explain.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "runtime/plan/action.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

// The figures of one stage of the train program.
struct StageFigures {
  int stage = 0;
  int rank = 0;
  int nodes = 0;
  int64_t parameters = 0;                        // elements of the weights that stand there, constants left out
  double forward = 0, backward = 0, weight = 0;  // predicted seconds of a micro-batch
  double recompute = 0;                          // the same of an R; inside B it is part of backward
  std::map<std::string, uint64_t> bytes;         // by kind, of the stage's rank
  uint64_t arena = 0;
};

std::string KindOf(proto::Life life) {
  switch (life) {
    case proto::PARAMETER:
      return "weights";
    case proto::GRADIENT:
      return "gradients";
    case proto::OPTIMIZER:
      return "optimizer";
    case proto::PACKED:
      return "packed";
    case proto::STASH_FB:
    case proto::STASH_FW:
    case proto::STASH_BW:
    case proto::STASH_FR:
    case proto::STASH_RB:
      return "stash";
    case proto::SENT:
    case proto::RECEIVED:
      return "edges";
    case proto::SCRATCH:
      return "scratch";
    default:
      return "other";
  }
}

int64_t Elements(const proto::TensorType& type) {
  int64_t n = 1;
  for (int64_t d : type.dims()) n *= d;
  return n;
}

int RankOfStage(const proto::Program& program, int stage) {
  for (const proto::RankProgram& rank : program.ranks()) {
    for (uint32_t s : rank.stages()) {
      if (static_cast<int>(s) == stage) return static_cast<int>(rank.rank());
    }
  }
  return 0;
}

std::map<std::string, uint64_t> BytesByKind(const proto::ExecutionPlan& plan, const proto::RankProgram& rank) {
  std::map<std::string, uint64_t> bytes;
  for (const proto::Region& region : plan.ranks(static_cast<int>(rank.rank())).regions()) {
    if (region.life() != proto::SCRATCH && region.life() != proto::LIFE_UNSPECIFIED) {
      bytes[KindOf(region.life())] += region.bytes();
    }
  }
  for (const proto::Pool& pool : rank.pools()) bytes[KindOf(pool.life())] += pool.stride() * pool.slots();
  bytes["scratch"] += rank.scratch_bytes();
  return bytes;
}

StageFigures FiguresOf(const proto::ExecutionPlan& plan, const proto::Program& program, int s) {
  const proto::StageProgram& stage = program.stages(s);
  StageFigures f;
  f.stage = s;
  f.rank = RankOfStage(program, s);
  f.nodes = stage.nodes_size();
  for (const proto::PhaseProgram& phase : stage.phases()) {
    if (phase.phase() == proto::F) f.forward = phase.seconds();
    if (phase.phase() == proto::B || phase.phase() == proto::BW) f.backward = phase.seconds();
    if (phase.phase() == proto::W) f.weight = phase.seconds();
    if (phase.phase() == proto::R) f.recompute = phase.seconds();
  }
  std::set<std::string> used;
  for (const proto::Value& value : stage.values()) {
    if (value.life() == proto::PARAMETER) used.insert(value.name());
  }
  for (const proto::PlannedParameter& parameter : plan.parameters()) {
    if (!parameter.constant() && used.count(parameter.name())) f.parameters += Elements(parameter.type());
  }
  f.bytes = BytesByKind(plan, program.ranks(f.rank));
  f.arena = plan.ranks(f.rank).arena_bytes();
  return f;
}

std::vector<StageFigures> Stages(const proto::ExecutionPlan& plan, const proto::Program& program) {
  std::vector<StageFigures> all;
  for (int s = 0; s < program.stages_size(); ++s) all.push_back(FiguresOf(plan, program, s));
  return all;
}

std::string NodesText(const proto::StageProgram& stage) {
  if (stage.nodes_size() <= 8) return absl::StrJoin(stage.nodes(), " ");
  return absl::StrCat(stage.nodes(0), " ", stage.nodes(1), " ... ", stage.nodes(stage.nodes_size() - 2), " ",
                      stage.nodes(stage.nodes_size() - 1));
}

// For each pair of stages: what crosses, forward and back, for one micro-batch.
std::string Boundaries(const proto::Program& program) {
  std::string out;
  for (const proto::Edge& edge : program.edges()) {
    absl::StrAppendFormat(&out, "  %d -> %d  %s %s, %s a micro-batch\n", edge.from_stage(), edge.to_stage(),
                          edge.backward() ? "gradient" : "value", edge.name(), BytesText(edge.bytes()));
  }
  return out.empty() ? "  nothing: one stage\n" : out;
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

}  // namespace

std::string BytesText(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return absl::StrFormat(bytes < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

std::string SecondsText(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.2f s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.2f ms", seconds * 1e3);
  return absl::StrFormat("%.1f us", seconds * 1e6);
}

std::string ExplainSummary(const proto::ExecutionPlan& plan) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return "the plan has no train program\n";
  std::string out = absl::StrFormat(
      "%s: %d stages (cut %s), schedule %s, recompute %s, %d micro-batches of %d, optimizer %s\n"
      "predicted step %s, bubble %.1f %%; plan %s\n",
      plan.model_name(), train->stages_size(), plan.cut(), train->schedule(),
      train->recompute().empty() ? "none" : train->recompute(), train->micro_batches(), train->micro_batch_size(),
      plan.optimizer(), SecondsText(train->predicted_seconds()), 100 * train->predicted_bubble(),
      plan.hash().substr(0, 16));
  return out + StageTable(Stages(plan, *train));
}

std::string ExplainFully(const proto::ExecutionPlan& plan, const DrawOptions& draw) {
  std::string out = ExplainSummary(plan);
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return out;
  const std::vector<StageFigures> stages = Stages(plan, *train);
  absl::StrAppend(&out, "\nmemory of each rank (packed: weights in the kernels' own layout)\n", MemoryTable(stages));
  absl::StrAppend(&out, "\nwhat is in each stage\n");
  for (int s = 0; s < train->stages_size(); ++s)
    absl::StrAppend(&out, "  ", s, ": ", NodesText(train->stages(s)), "\n");
  absl::StrAppend(&out, "\nwhat crosses between stages\n", Boundaries(*train));
  const auto simulation = Simulate(plan, "train");
  if (simulation.ok()) {
    absl::StrAppend(&out, "\npredicted step\n", DrawTimeline(plan, simulation->trace, draw));
  } else {
    absl::StrAppend(&out, "\nno prediction: ", simulation.status().message(), "\n");
  }
  return out;
}

std::string ExplainJson(const proto::ExecutionPlan& plan) {
  nlohmann::ordered_json out;
  const proto::Program* train = FindProgram(plan, "train");
  out["hash"] = plan.hash();
  out["model"] = plan.model_name();
  out["pp"] = plan.pp();
  out["cut"] = plan.cut();
  out["optimizer"] = plan.optimizer();
  if (train == nullptr) return out.dump(2);
  out["schedule"] = train->schedule();
  out["recompute"] = train->recompute().empty() ? "none" : train->recompute();
  out["micro_batch"] = train->micro_batch_size();
  out["micro_batches"] = train->micro_batches();
  out["predicted_seconds"] = train->predicted_seconds();
  out["bubble_rate"] = train->predicted_bubble();
  const auto simulation = Simulate(plan, "train");
  for (const StageFigures& f : Stages(plan, *train)) {
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
    if (simulation.ok() && f.stage < static_cast<int>(simulation->peak_in_flight.size())) {
      stage["peak_in_flight"] = simulation->peak_in_flight[f.stage];
    }
    const auto& nodes = train->stages(f.stage).nodes();
    stage["nodes"] = std::vector<std::string>(nodes.begin(), nodes.end());
    out["stages"].push_back(stage);
  }
  for (const proto::Edge& edge : train->edges()) {
    out["edges"].push_back({{"name", edge.name()},
                            {"from", edge.from_stage()},
                            {"to", edge.to_stage()},
                            {"backward", edge.backward()},
                            {"bytes", edge.bytes()}});
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace millrace
