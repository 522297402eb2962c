#include "partitioner/partition.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/autodiff/differentiate.h"
#include "partitioner/choose_cut.h"
#include "partitioner/choose_schedule.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/lower/flow.h"
#include "partitioner/lower/lower.h"
#include "partitioner/lower/program_source.h"
#include "partitioner/lower/recompute.h"
#include "partitioner/options.h"
#include "partitioner/place.h"
#include "partitioner/rewrite/rewrite.h"
#include "partitioner/schedule/forward_only.h"
#include "partitioner/schedule/replicated.h"
#include "partitioner/stage_replicas.h"
#include "partitioner/ways_to_fit.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

constexpr uint64_t kNormBlockElements = 65536;
constexpr uint64_t kNormBlockElementsOfReplicas = 4096;  // shards end on block edges
constexpr double kWeightStash = 0.5;                     // before there is a graph

// Sizes add up and are multiplied by micro-batches in 64 bits: what could overflow there fits no machine anyway.
absl::Status CheckTotalSize(const Graph& graph, int64_t micro_batches) {
  constexpr double kMost = 0x1p60;
  double bytes = 0;
  for (const GraphValue& value : graph.values) bytes += static_cast<double>(value.spec.bytes());
  const double total = bytes * static_cast<double>(micro_batches + 8);
  if (total <= kMost) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("the tensors of the model take %.3g bytes at micro-batch %d, and %d micro-batches of them no "
                      "memory can hold; use "
                      "smaller or fewer micro-batches",
                      bytes, graph.micro_batch_size, micro_batches));
}

// The devices that get ranks: only these can be busy together.
proto::Cluster Placed(const PartitionOptions& options) {
  proto::Cluster cluster = options.cluster;
  const int ranks = RanksOf(options);
  cluster.mutable_devices()->DeleteSubrange(ranks, cluster.devices_size() - ranks);
  return cluster;
}

class Partitioner {
 public:
  Partitioner(const proto::Model& model, const PartitionOptions& options, const KernelNeedsFn& needs)
      : model_(model), options_(options), ask_(needs), costs_(Placed(options), options.costs) {}

  absl::StatusOr<proto::ExecutionPlan> Run() {
    MR_ASSIGN_OR_RETURN(const Graph checked, BuildGraph(model_, options_.micro_batch));
    Dump("check", [&] { return checked.ToString(); });
    MR_ASSIGN_OR_RETURN(const Graph rewritten, Rewrite(checked, Mode::kTrain));
    Dump("rewrite", [&] { return rewritten.ToString(); });
    MR_ASSIGN_OR_RETURN(Graph graph, Differentiate(rewritten));
    Dump("differentiate", [&] { return graph.ToString(); });
    MR_RETURN_IF_ERROR(CheckTotalSize(graph, options_.micro_batches));
    // The cut needs to know where stages stand, the schedule what they cost: a first schedule of equal stages says
    // where.
    MR_ASSIGN_OR_RETURN(const Schedule placed, ScheduleOf(options_, {}, kWeightStash));
    std::vector<NodeCost> node_costs = CostsForCut(graph, options_, costs_);
    Dump("cost", [&] { return CostsText(graph, node_costs); });
    MR_ASSIGN_OR_RETURN(CutChooser cuts, CutChooser::Of(graph, node_costs, options_, costs_, placed));
    MR_ASSIGN_OR_RETURN(const CutCandidate first, cuts.First());
    Attempt best = TryCut(checked, graph, placed, first);
    if (best.plan.ok()) {
      KeepShorter(&best, cuts, [&](const CutCandidate& cut) { return TryCut(checked, graph, placed, cut); });
    } else if (!best.ranks.empty()) {
      KeepWhatFits(&best, &cuts, [&](const CutCandidate& cut) { return TryCut(checked, graph, placed, cut); });
    }
    for (const auto& [pass, text] : best.dumps) options_.dump(pass, text);
    return std::move(best.plan);
  }

 private:
  // A plan of one cut.
  struct Attempt {
    CutCandidate cut;
    absl::StatusOr<proto::ExecutionPlan> plan = absl::UnknownError("not made yet");
    std::vector<proto::Rank> ranks;                          // empty when it did not come so far
    std::vector<std::pair<std::string, std::string>> dumps;  // (pass, text)

    double seconds() const { return plan->programs(0).predicted_seconds(); }
    uint64_t missing() const {
      uint64_t most = 0;
      for (const proto::Rank& rank : ranks) most = std::max(most, MissingBytes(rank));
      return most;
    }
  };

  template <typename Try>
  void KeepShorter(Attempt* best, const CutChooser& cuts, const Try& try_cut) const {
    const absl::optional<CutCandidate> shorter = cuts.Shorter(best->cut);
    if (!shorter.has_value()) return;
    Attempt other = try_cut(*shorter);
    if (other.plan.ok() && other.seconds() < best->seconds()) *best = std::move(other);
  }

  // Of those that do not fit either, the one that lacks least is what the caller hears of.
  template <typename Try>
  void KeepWhatFits(Attempt* best, CutChooser* cuts, const Try& try_cut) const {
    Attempt last = *best;
    int tried = 1;
    for (absl::optional<CutCandidate> next = cuts->Smaller(last.cut, last.ranks); next.has_value();
         next = cuts->Smaller(last.cut, last.ranks)) {
      last = try_cut(*next);
      ++tried;
      if (last.ranks.empty()) break;
      if (last.plan.ok() || last.missing() < best->missing()) *best = last;
      if (!best->plan.ok()) continue;
      KeepShorter(best, *cuts, try_cut);
      return;
    }
    if (tried == 1 || best->plan.ok()) return;
    absl::Status status(best->plan.status().code(),
                        absl::StrCat(best->plan.status().message(), "; ", tried,
                                     " cuts were planned, and of those this one lacks least"));
    best->plan.status().ForEachPayload(
        [&status](absl::string_view type, const absl::Cord& payload) { status.SetPayload(type, payload); });
    best->plan = std::move(status);
  }

  Attempt TryCut(const Graph& checked, const Graph& graph, const Schedule& placed, const CutCandidate& cut) {
    Attempt attempt{.cut = cut};
    attempt_ = &attempt;
    programs_.clear();
    Dump("cut", [&] { return cut.text; });
    attempt.plan = PlanCut(checked, graph, placed, cut.stage_of_node);
    attempt_ = nullptr;
    return attempt;
  }

  absl::StatusOr<proto::ExecutionPlan> PlanCut(const Graph& checked, const Graph& graph, const Schedule& placed,
                                               const std::vector<int>& stage_of_node) {
    ProgramSource train = {.name = "train",
                           .staged = StageGraph(graph, stage_of_node),
                           .schedule = placed,
                           .micro_batch_size = options_.micro_batch,
                           .trains = true};
    if (!options_.stage_replicas.empty()) {
      MR_ASSIGN_OR_RETURN(train.schedule,
                          ReplicatedSchedule(options_.schedule, options_.stage_replicas,
                                             static_cast<int>(options_.micro_batches), SumsReplicasFirst(options_)));
      for (int& stage : train.staged.stage_of_node) stage = FirstReplica(options_, stage);
    }
    MR_ASSIGN_OR_RETURN(const std::vector<StageRecompute> recompute, RecomputeOf(options_, train.schedule));
    recompute_ = RecomputeText(options_, recompute);
    Recompute(recompute, &train.staged);
    MR_RETURN_IF_ERROR(Price(&train));
    if (options_.stage_replicas.empty()) {
      const double weight_stash = WeightStashShare(FlowOf(train, 0));
      MR_ASSIGN_OR_RETURN(train.schedule, ScheduleOf(options_, SecondsOfStages(train), weight_stash));
    }
    Dump("schedule", [&] { return train.schedule.ToCsv(); });
    programs_.push_back(std::move(train));
    if (options_.with_eval) {
      MR_ASSIGN_OR_RETURN(Graph eval, Rewrite(checked, Mode::kEval));
      MR_RETURN_IF_ERROR(AddForward("eval", std::move(eval), options_.micro_batches));
    }
    if (options_.with_logits && checked.logits >= 0) MR_RETURN_IF_ERROR(AddLogits());
    return Assemble(checked);
  }

  // What an attempt dumps is told when it is the one that is taken.
  template <typename F>
  void Dump(absl::string_view pass, F&& text) const {
    if (!options_.dump) return;
    if (attempt_ != nullptr) {
      attempt_->dumps.emplace_back(std::string(pass), text());
    } else {
      options_.dump(pass, text());
    }
  }

  // A transfer is of all that a stage sends forward to other ranks.
  std::vector<StageSeconds> SecondsOfStages(const ProgramSource& source) const {
    const Graph& graph = source.staged.graph;
    const std::vector<int>& stage_of_node = source.staged.stage_of_node;
    const std::vector<int>& rank_of_stage = source.schedule.rank_of_stage;
    std::vector<StageSeconds> stages(source.schedule.stages);
    std::vector<uint64_t> bytes(stages.size(), 0);
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      const int s = stage_of_node[n];
      const proto::Phase phase = graph.nodes[n].phase;
      double& sum = phase == proto::F   ? stages[s].forward
                    : phase == proto::W ? stages[s].backward_weight
                    : phase == proto::R ? stages[s].recompute
                                        : stages[s].backward_input;
      if (!source.costs[n].key.empty()) sum += source.costs[n].seconds[rank_of_stage[s]];
    }
    for (const GraphValue& value : graph.values) {
      if (value.producer < 0 || value.alias_of >= 0 || graph.nodes[value.producer].phase != proto::F) continue;
      const int from = stage_of_node[value.producer];
      const bool leaves = std::any_of(value.consumers.begin(), value.consumers.end(), [&](int n) {
        return graph.nodes[n].phase == proto::F && rank_of_stage[stage_of_node[n]] != rank_of_stage[from];
      });
      if (leaves) bytes[from] += value.spec.bytes();
    }
    for (size_t s = 0; s + 1 < stages.size(); ++s) {
      stages[s].transfer = costs_.TransferSeconds(bytes[s], rank_of_stage[s], rank_of_stage[s + 1]);
    }
    return stages;
  }

  // Fills costs and needs of every node.
  absl::Status Price(ProgramSource* source) {
    const Graph& graph = source->staged.graph;
    source->costs = CostsOf(graph, costs_, options_.stage_replicas.empty() ? options_.pp : RanksOf(options_));
    source->needs.resize(graph.nodes.size());
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      if (source->costs[n].key.empty()) continue;
      const auto [known, is_new] = needs_.try_emplace(source->costs[n].key);
      if (is_new) {
        absl::StatusOr<KernelNeeds> needs = ask_(graph.Desc(graph.nodes[n]));
        if (!needs.ok()) {
          return absl::Status(needs.status().code(), absl::StrCat("node '", graph.nodes[n].name, "' of program ",
                                                                  source->name, ": ", needs.status().message()));
        }
        known->second = *std::move(needs);
      }
      source->needs[n] = known->second;
    }
    return absl::OkStatus();
  }

  absl::Status AddForward(const std::string& name, Graph graph, int64_t micro_batches) {
    MR_RETURN_IF_ERROR(CheckTotalSize(graph, micro_batches));
    const Schedule& train = programs_[0].schedule;
    ProgramSource source;
    source.name = name;
    source.micro_batch_size = graph.micro_batch_size;
    source.staged = StageLike(programs_[0].staged, std::move(graph));
    source.schedule =
        options_.stage_replicas.empty()
            ? ForwardOnly(train.rank_of_stage, static_cast<int>(train.ranks.size()), static_cast<int>(micro_batches))
            : ReplicatedForward(train, static_cast<int>(micro_batches));
    MR_RETURN_IF_ERROR(Price(&source));
    programs_.push_back(std::move(source));
    return absl::OkStatus();
  }

  absl::Status AddLogits() {
    MR_ASSIGN_OR_RETURN(const Graph checked, BuildGraph(model_, options_.logits_batch));
    MR_ASSIGN_OR_RETURN(Graph logits, Rewrite(checked, Mode::kLogits));
    if (logits.values[logits.Root(logits.logits)].kind != GraphValue::Kind::kActivation) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.logits: '", model_.logits(), "' is an input or a parameter; name the result of a node"));
    }
    return AddForward("logits", std::move(logits), 1);
  }

  absl::StatusOr<proto::ExecutionPlan> Assemble(const Graph& checked) {
    proto::ExecutionPlan plan;
    plan.set_schema_version(1);
    plan.set_model_name(model_.name());
    plan.set_model_hash(checked.model_hash);
    plan.set_pp(RanksOf(options_) / options_.dp);
    plan.set_dp(options_.dp);
    plan.set_shard_optimizer(options_.shard_optimizer);
    plan.set_optimizer(options_.optimizer);
    const bool replicas_first = SumsReplicasFirst(options_);
    plan.set_sum_order(replicas_first ? proto::REPLICAS_FIRST : proto::MICRO_BATCHES_FIRST);
    plan.set_device_kind(options_.cluster.devices(0).kind());
    if (options_.device_settings.tf32() || options_.device_settings.cudnn()) {
      *plan.mutable_device_settings() = options_.device_settings;
    }
    plan.set_cut(options_.cut == "by-hand" ? "by hand" : options_.cut);
    if (!options_.pinned.empty()) plan.set_cut(options_.cut + ", some nodes pinned");
    for (const proto::Input& input : checked.model_inputs) *plan.add_inputs() = input;
    plan.set_peak_flops_per_second(options_.cluster.devices(0).flops_per_second());
    plan.set_created_by("millrace 0.1.0");
    const bool replicas = RanksOf(options_) > options_.pp;
    plan.set_norm_block_elements(replicas ? kNormBlockElementsOfReplicas : kNormBlockElements);
    if (options_.costs.kernels_size() > 0) {
      plan.mutable_costs()->set_measured(options_.costs.measured());
      plan.mutable_costs()->set_device_name(options_.costs.device_name());
      plan.mutable_costs()->set_hash(Sha256Hex(CanonicalBytes(options_.costs)));
    }
    const Replication replication = {.replicas = options_.dp,
                                     .of_rank = ReplicasOfRanks(options_),
                                     .shard_optimizer = options_.shard_optimizer,
                                     .replicas_first = replicas_first && replicas,
                                     .norm_block_elements = plan.norm_block_elements()};
    const absl::Status lowered = LowerBest(programs_, options_, costs_, replication, &plan);
    attempt_->ranks.assign(plan.ranks().begin(), plan.ranks().end());
    MR_RETURN_IF_ERROR(lowered);
    for (proto::Program& program : *plan.mutable_programs()) {
      program.set_recompute(program.name() == "train" ? recompute_ : "none");
      program.set_schedule(program.name() != "train"              ? "forward"
                           : options_.custom_schedule.has_value() ? "custom"
                                                                  : options_.schedule);
    }
    Dump("lower", [&] { return LowerText(plan); });
    SealPlan(&plan);
    return plan;
  }

  const proto::Model& model_;
  const PartitionOptions& options_;
  const KernelNeedsFn& ask_;
  const CostModel costs_;
  absl::flat_hash_map<std::string, KernelNeeds> needs_;  // by OpDesc::Key()
  std::vector<ProgramSource> programs_;
  std::string recompute_ = "none";
  Attempt* attempt_ = nullptr;  // the one under way
};

}  // namespace

std::vector<std::string> PassNames() {
  return {"check", "rewrite", "differentiate", "cost", "cut", "schedule", "lower"};
}

namespace {

// The cluster with its devices in another order; what host each sits in stays with it.
proto::Cluster Reordered(const proto::Cluster& cluster, const std::vector<int>& device_of_rank) {
  proto::Cluster reordered = cluster;
  reordered.clear_devices();
  for (size_t rank = 0; rank < static_cast<size_t>(cluster.devices_size()); ++rank) {
    const int d = rank < device_of_rank.size() ? device_of_rank[rank] : static_cast<int>(rank);
    proto::ClusterDevice& device = *reordered.add_devices();
    device = cluster.devices(d);
    if (device.host().empty() && cluster.devices_per_host() > 0) {
      device.set_host(absl::StrCat("host ", d / static_cast<int>(cluster.devices_per_host())));
    }
  }
  return reordered;
}

absl::StatusOr<proto::ExecutionPlan> PartitionPlaced(const proto::Model& model, const PartitionOptions& options,
                                                     const KernelNeedsFn& needs) {
  const bool links_differ =
      options.cluster.links_size() > 0 || options.cluster.has_inside_host() || options.cluster.has_between_hosts();
  // Ranks of stages with replicas of their own stand as they are listed.
  if (options.placement != "links" || RanksOf(options) < 2 || !links_differ || !options.stage_replicas.empty()) {
    return Partitioner(model, options, needs).Run();
  }
  PartitionOptions quiet = options;
  quiet.dump = nullptr;
  absl::StatusOr<proto::ExecutionPlan> best = Partitioner(model, quiet, needs).Run();
  PartitionOptions chosen = options;
  if (best.ok()) {
    const proto::Cluster cluster = Placed(options);
    const CostModel costs(cluster, options.costs);
    for (const std::vector<int>& devices : BetterPlaces(TrafficOf(*best), cluster, costs, options.pp)) {
      quiet.cluster = Reordered(options.cluster, devices);
      absl::StatusOr<proto::ExecutionPlan> other = Partitioner(model, quiet, needs).Run();
      if (!other.ok() || other->programs(0).predicted_seconds() >= best->programs(0).predicted_seconds()) continue;
      best = std::move(other);
      chosen.cluster = quiet.cluster;
    }
  }
  return options.dump ? Partitioner(model, chosen, needs).Run() : std::move(best);
}

}  // namespace

absl::StatusOr<proto::ExecutionPlan> PartitionAsAsked(const proto::Model& model, const PartitionOptions& options,
                                                      const KernelNeedsFn& needs) {
  MR_RETURN_IF_ERROR(CheckOptions(options));
  if (options.schedule == "auto" && !options.custom_schedule.has_value()) return ChooseSchedule(model, options, needs);
  return PartitionPlaced(model, options, needs);
}

absl::StatusOr<proto::ExecutionPlan> Partition(const proto::Model& model, const PartitionOptions& options,
                                               const KernelNeedsFn& needs) {
  absl::StatusOr<proto::ExecutionPlan> plan = PartitionAsAsked(model, options, needs);
  if (!absl::IsResourceExhausted(plan.status())) return plan;
  return absl::ResourceExhaustedError(absl::StrCat(plan.status().message(), "; ", WaysToFit(model, options, needs)));
}

}  // namespace millrace
