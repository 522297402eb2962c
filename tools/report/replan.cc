#include "tools/report/replan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/autodiff/differentiate.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/cut/balanced.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/local.h"
#include "partitioner/rewrite/rewrite.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"

namespace millrace {
namespace {

Schedule ScheduleIn(const proto::Program& program) {
  Schedule schedule;
  schedule.stages = program.stages_size();
  schedule.micro_batches = static_cast<int>(program.micro_batches());
  schedule.rank_of_stage.assign(program.stages_size(), 0);
  for (const proto::RankProgram& rank : program.ranks()) {
    for (uint32_t s : rank.stages()) schedule.rank_of_stage[s] = static_cast<int>(rank.rank());
    std::vector<Action>& list = schedule.ranks.emplace_back();
    for (const proto::Instruction& run : rank.instructions()) {
      if (run.kind() != proto::Instruction::RUN) continue;
      list.push_back({static_cast<int>(run.stage()), run.phase(), static_cast<int>(run.micro_batch())});
    }
  }
  return schedule;
}

// "none", "all" or numbers: of the stages that run forward again inside their backward pass.
std::string RecomputeIn(const proto::Program& program) {
  if (!program.recompute().empty()) return program.recompute();
  std::vector<uint32_t> stages;
  for (const proto::StageProgram& stage : program.stages()) {
    bool again = false;
    for (const proto::PhaseProgram& phase : stage.phases()) {
      if (phase.phase() != proto::B && phase.phase() != proto::BW) continue;
      again = again || std::any_of(phase.calls().begin(), phase.calls().end(), [](const proto::KernelCall& call) {
                return absl::StartsWith(call.node(), "again/");
              });
    }
    if (again) stages.push_back(stage.stage());
  }
  if (stages.empty()) return "none";
  return stages.size() == program.stages_size() ? "all" : absl::StrJoin(stages, ",");
}

proto::Cluster ClusterIn(const proto::ExecutionPlan& plan) {
  proto::Cluster cluster = LocalCluster(plan.device_kind(), plan.ranks_size());
  const bool local = HasLocalDevices(plan);
  for (int r = 0; r < plan.ranks_size(); ++r) {
    proto::ClusterDevice& device = *cluster.mutable_devices(r);
    device.set_name(plan.ranks(r).device());
    device.set_memory_bytes(plan.ranks(r).memory_limit());
    if (plan.ranks(r).threads() > 0) device.set_threads(plan.ranks(r).threads());
    if (!local || !plan.ranks(r).shares().empty()) device.set_shares(plan.ranks(r).shares());
  }
  for (const proto::PlannedLink& planned : plan.links()) {
    if (planned.from_rank() >= plan.ranks_size() || planned.to_rank() >= plan.ranks_size()) continue;
    proto::Link& link = *cluster.add_links();
    link.set_from(plan.ranks(static_cast<int>(planned.from_rank())).device());
    link.set_to(plan.ranks(static_cast<int>(planned.to_rank())).device());
    link.set_latency_seconds(planned.latency_seconds());
    link.set_bytes_per_second(planned.bytes_per_second());
  }
  return cluster;
}

// Asks a backend once for each distinct call.
KernelNeedsFn Remembering(KernelNeedsFn ask) {
  auto known = std::make_shared<absl::flat_hash_map<std::string, KernelNeeds>>();
  return [ask = std::move(ask), known](const OpDesc& desc) -> absl::StatusOr<KernelNeeds> {
    const std::string key = desc.Key();
    const auto found = known->find(key);
    if (found != known->end()) return found->second;
    MR_ASSIGN_OR_RETURN(const KernelNeeds needs, ask(desc));
    known->emplace(key, needs);
    return needs;
  };
}

CutFigures FiguresIn(const proto::ExecutionPlan& plan) {
  const proto::Program& train = *FindProgram(plan, "train");
  CutFigures figures;
  figures.seconds = train.predicted_seconds();
  figures.bubble = train.predicted_bubble();
  for (const proto::StageProgram& stage : train.stages()) {
    double whole = 0;
    for (const proto::PhaseProgram& phase : stage.phases()) whole += phase.seconds();
    figures.slowest_stage = std::max(figures.slowest_stage, whole);
  }
  for (const proto::Rank& rank : plan.ranks()) {
    figures.largest_arena = std::max<uint64_t>(figures.largest_arena, rank.arena_bytes());
  }
  figures.crossing = CrossingBytes(train);
  return figures;
}

// First units of the plan's stages. Every unit stands where its nodes do; one of views alone, where the unit before it
// does.
absl::StatusOr<std::vector<int>> PresentCut(const proto::Program& train, const Graph& graph, const Chain& chain) {
  absl::flat_hash_map<absl::string_view, int> stage_of;
  for (const proto::StageProgram& stage : train.stages()) {
    for (const std::string& node : stage.nodes()) stage_of[node] = static_cast<int>(stage.stage());
  }
  std::vector<int> stage_of_unit(chain.units.size(), -1);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const auto stage = stage_of.find(graph.nodes[n].name);
    if (graph.nodes[n].phase == proto::F && stage != stage_of.end())
      stage_of_unit[chain.unit_of_node[n]] = stage->second;
  }
  std::vector<int> first = {0};
  for (size_t u = 0; u < chain.units.size(); ++u) {
    const int last = static_cast<int>(first.size()) - 1;
    const int here = stage_of_unit[u] < 0 ? last : stage_of_unit[u];
    if (here == last + 1) {
      first.push_back(static_cast<int>(u));
    } else if (here != last) {
      return absl::FailedPreconditionError(
          absl::StrCat("node '", chain.units[u].last_node, "' stands on stage ", here,
                       " of the plan, out of the order of this model; partition the model again"));
    }
  }
  if (static_cast<int>(first.size()) != train.stages_size()) {
    return absl::FailedPreconditionError("the plan has stages without nodes of this model; partition the model again");
  }
  return first;
}

}  // namespace

std::vector<uint64_t> CrossingBytes(const proto::Program& program) {
  std::vector<uint64_t> bytes(std::max(0, program.stages_size() - 1), 0);
  for (const proto::Edge& edge : program.edges()) {
    const size_t from = std::min(edge.from_stage(), edge.to_stage());
    const size_t to = std::min<size_t>(std::max(edge.from_stage(), edge.to_stage()), bytes.size());
    for (size_t b = from; b < to; ++b) bytes[b] += edge.bytes();
  }
  return bytes;
}

bool HasLocalDevices(const proto::ExecutionPlan& plan) {
  for (int r = 0; r < plan.ranks_size(); ++r) {
    const proto::Rank& rank = plan.ranks(r);
    if (rank.device() != absl::StrCat(plan.device_kind(), ":", r) || rank.memory_limit() > 0) return false;
  }
  return true;
}

absl::StatusOr<PartitionOptions> OptionsOf(const proto::ExecutionPlan& plan) {
  const proto::Program* train = FindProgram(plan, "train");
  if (train == nullptr) return absl::FailedPreconditionError("the plan has no program 'train'");
  PartitionOptions options;
  options.cluster = ClusterIn(plan);
  options.pp = static_cast<int>(plan.pp());
  options.micro_batch = train->micro_batch_size();
  options.micro_batches = train->micro_batches();
  options.schedule = train->schedule();
  if (options.schedule == "custom") {
    options.custom_schedule = ScheduleIn(*train);
    options.schedule = "1f1b";
  }
  if (options.schedule == "interleaved" && plan.pp() > 0) {
    options.chunks = train->stages_size() / static_cast<int>(plan.pp());
  }
  options.recompute = RecomputeIn(*train);
  options.optimizer = plan.optimizer();
  options.with_eval = options.with_logits = false;
  const proto::Program* logits = FindProgram(plan, "logits");
  if (logits != nullptr) options.logits_batch = logits->micro_batch_size();
  return options;
}

absl::StatusOr<Replanner> Replanner::Make(const proto::ExecutionPlan& plan, const proto::Model& model,
                                          const proto::CostTable& costs) {
  MR_RETURN_IF_ERROR(VerifyPlanIsFor(plan, model));
  Replanner replanner;
  replanner.model_ = model;
  MR_ASSIGN_OR_RETURN(replanner.options_, OptionsOf(plan));
  replanner.options_.costs = costs;
  MR_ASSIGN_OR_RETURN(KernelNeedsFn needs, NeedsOf(plan.device_kind(), plan.device_settings()));
  replanner.needs_ = Remembering(std::move(needs));
  MR_ASSIGN_OR_RETURN(const Graph checked, BuildGraph(model, replanner.options_.micro_batch));
  MR_ASSIGN_OR_RETURN(const Graph rewritten, Rewrite(checked, Mode::kTrain));
  MR_ASSIGN_OR_RETURN(const Graph graph, Differentiate(rewritten));
  const CostModel model_of_costs(replanner.options_.cluster, costs);
  replanner.chain_ = Linearise(graph, CostsOf(graph, model_of_costs, replanner.options_.pp));
  const proto::Program& train = *FindProgram(plan, "train");
  replanner.rank_of_stage_ = ScheduleIn(train).rank_of_stage;
  MR_ASSIGN_OR_RETURN(replanner.present_, PresentCut(train, graph, replanner.chain_));
  return replanner;
}

absl::StatusOr<std::vector<int>> Replanner::Balanced() const {
  const CostModel costs(options_.cluster, options_.costs);
  const auto link = [&](uint64_t bytes) { return options_.pp < 2 ? 0 : costs.TransferSeconds(bytes, 0, 1); };
  MR_ASSIGN_OR_RETURN(const Cut cut, BalancedCut(chain_, rank_of_stage_, link));
  return cut.first_unit;
}

std::vector<std::string> Replanner::CutAfter(const std::vector<int>& first_unit) const {
  std::vector<std::string> names;
  for (size_t s = 1; s < first_unit.size(); ++s) names.push_back(chain_.units[first_unit[s] - 1].last_node);
  return names;
}

absl::StatusOr<CutFigures> Replanner::At(const std::vector<int>& first_unit) {
  const auto found = known_.find(first_unit);
  if (found != known_.end()) return found->second;
  PartitionOptions options = options_;
  options.cut = first_unit.size() > 1 ? "by-hand" : "balanced";
  options.cut_after = CutAfter(first_unit);
  absl::StatusOr<CutFigures> figures = CutFigures();
  const absl::StatusOr<proto::ExecutionPlan> plan = Partition(model_, options, needs_);
  if (plan.ok()) {
    *figures = FiguresIn(*plan);
  } else {
    figures = plan.status();
  }
  known_.emplace(first_unit, figures);
  return figures;
}

}  // namespace millrace
