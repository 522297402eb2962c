#include "partitioner/cost_graph/degrees.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cost_graph/knapsack.h"
#include "partitioner/cost_graph/orders.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kNoBound = std::numeric_limits<double>::max();  // below kNever
constexpr double kClose = 1e-9;  // relative width at which the interval of times is small enough
constexpr int kMostDownSets = 20'000;
constexpr int64_t kMostPairs = 400'000;  // of nested down-sets

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(absl::StrCat("cost graph: ", what)); }

// Micro-batches whose activations a stage holds.
int64_t InFlight(int64_t degree, int64_t later_degrees) { return 1 + (later_degrees + degree - 1) / degree; }

// What a node adds to its stage's seconds, by variant: `inside[n]` says which nodes are in the stage.
struct NodeSeconds {
  double compute = 0, communication = 0, reduction = 0;
  double sum() const { return compute + communication + reduction; }
};
NodeSeconds SecondsOf(const VariantGraph& graph, int n, const LayerVariant& variant, int64_t degree,
                      const std::vector<bool>& inside) {
  const VariantNode& node = graph.nodes[n];
  double bytes = 0;
  for (size_t i = 0; i < node.incoming.size(); ++i) {
    const VariantEdge& edge = graph.edges[node.incoming[i]];
    if (!inside[edge.from]) bytes += edge.bytes + variant.sync_incoming[i];
  }
  for (size_t i = 0; i < node.outgoing.size(); ++i) {
    const VariantEdge& edge = graph.edges[node.outgoing[i]];
    if (!inside[edge.to]) bytes += edge.bytes + variant.sync_outgoing[i];
  }
  const double d = static_cast<double>(degree);
  return {variant.seconds / d, 2 * bytes / (d * graph.bandwidth),
          4 * (d - 1) * variant.parameter_bytes / (d * static_cast<double>(graph.micro_batches) * graph.bandwidth)};
}

class DegreeSearch {
 public:
  DegreeSearch(const VariantGraph& graph, const DownSets& sets)
      : graph_(graph), sets_(sets), above_(sets.Above()), inside_(graph.nodes.size(), false) {
    std::set<int> degrees;
    for (const VariantNode& node : graph.nodes) {
      for (const auto& [degree, list] : node.variants) degrees.insert(degree);
    }
    tensor_degrees_.assign(degrees.begin(), degrees.end());
    for (int64_t d = 1; d <= std::min(graph.micro_batches, graph.devices); ++d) {
      if (graph.micro_batches % d == 0) data_degrees_.push_back(d);
    }
    int64_t pairs = 0;
    for (const std::vector<int>& above : above_) {
      first_pair_.push_back(pairs);
      pairs += static_cast<int64_t>(above.size());
    }
    floor_.resize(pairs * static_cast<int64_t>(tensor_degrees_.size()));
    for (int set = 0; set < sets_.size(); ++set) {
      for (size_t i = 0; i < above_[set].size(); ++i) MeasureFloor(set, i);
    }
  }

  // The fastest plan below `bound`.
  std::optional<DegreePlan> Run(double bound) {
    std::optional<DegreePlan> best = Within(bound);
    if (!best.has_value()) return std::nullopt;
    double low = 0;
    while (best->seconds - low > kClose * best->seconds) {
      const double middle = (low + best->seconds) / 2;
      std::optional<DegreePlan> plan = Within(middle);
      if (plan.has_value() && plan->seconds < best->seconds) {
        best = std::move(plan);
      } else {
        low = middle;
      }
    }
    return best;
  }

 private:
  // Stages behind a down-set: what they take, and the first of them.
  struct Way {
    int64_t devices = 0, degrees = 0;
    int to = -1, next = -1;  // down-set behind the first stage, and the way on from there
    int64_t data_degree = 0;
    int tensor = 0;  // index into tensor_degrees_
  };
  // Seconds at data-parallel degree d are never below (alone + (d - 1) * shared) / d.
  struct Floor {
    double alone = kNever, shared = 0;
  };

  void Enter(int set, int to, bool in) {
    for (int n : sets_.Between(set, to)) inside_[n] = in;
  }

  void MeasureFloor(int set, size_t i) {
    const int to = above_[set][i];
    Enter(set, to, true);
    for (size_t t = 0; t < tensor_degrees_.size(); ++t) {
      Floor floor{0, 0};
      for (int n : sets_.Between(set, to)) {
        const auto variants = graph_.nodes[n].variants.find(tensor_degrees_[t]);
        double alone = kNever, shared = kNever;
        if (variants != graph_.nodes[n].variants.end()) {
          for (const LayerVariant& variant : variants->second) {
            alone = std::min(alone, SecondsOf(graph_, n, variant, 1, inside_).sum());
            shared = std::min(shared, 2 * SecondsOf(graph_, n, variant, 2, inside_).reduction);
          }
        }
        floor.alone += alone;
        floor.shared += shared;
      }
      floor_[(first_pair_[set] + static_cast<int64_t>(i)) * static_cast<int64_t>(tensor_degrees_.size()) +
             static_cast<int64_t>(t)] = floor;
    }
    Enter(set, to, false);
  }

  std::optional<KnapsackChoice> Choose(int set, int to, int tensor, int64_t degree, int64_t in_flight) {
    Enter(set, to, true);
    std::vector<std::vector<KnapsackOption>> items;
    for (int n : sets_.Between(set, to)) {
      std::vector<KnapsackOption>& options = items.emplace_back();
      for (const LayerVariant& variant : graph_.nodes[n].variants.at(tensor_degrees_[tensor])) {
        options.push_back({SecondsOf(graph_, n, variant, degree, inside_).sum(),
                           variant.bytes_per_micro_batch * static_cast<double>(in_flight) + variant.fixed_bytes});
      }
    }
    Enter(set, to, false);
    return LeastSeconds(items, graph_.memory_limit);
  }

  double Seconds(int set, size_t i, int tensor, int64_t degree, int64_t in_flight) {
    const int64_t pair = (first_pair_[set] + static_cast<int64_t>(i)) * static_cast<int64_t>(tensor_degrees_.size()) +
                         static_cast<int64_t>(tensor);
    const auto [known, is_new] = seconds_.try_emplace(std::make_tuple(pair, degree, in_flight), kNever);
    if (is_new) {
      const auto choice = Choose(set, above_[set][i], tensor, degree, in_flight);
      if (choice.has_value()) known->second = choice->seconds;
    }
    return known->second;
  }

  // Adds to `ways` of `set` those whose first stage ends at its i-th set above and is no slower than `limit`.
  void Extend(int set, size_t i, double limit) {
    const int to = above_[set][i];
    for (size_t t = 0; t < tensor_degrees_.size(); ++t) {
      const Floor& floor =
          floor_[(first_pair_[set] + static_cast<int64_t>(i)) * static_cast<int64_t>(tensor_degrees_.size()) +
                 static_cast<int64_t>(t)];
      if (floor.alone == kNever) continue;
      for (size_t w = 0; w < ways_[to].size(); ++w) {
        const Way& way = ways_[to][w];
        for (int64_t d : data_degrees_) {
          const int64_t devices = way.devices + d * tensor_degrees_[t];
          if (devices > graph_.devices) break;
          const double least = (floor.alone + static_cast<double>(d - 1) * floor.shared) / static_cast<double>(d);
          if (least > limit * (1 + kClose)) continue;
          if (Seconds(set, i, static_cast<int>(t), d, InFlight(d, way.degrees)) > limit) continue;
          ways_[set].push_back({devices, way.degrees + d, to, static_cast<int>(w), d, static_cast<int>(t)});
          break;
        }
      }
    }
  }

  static void KeepBest(std::vector<Way>* ways) {
    std::stable_sort(ways->begin(), ways->end(), [](const Way& a, const Way& b) {
      return a.devices != b.devices ? a.devices < b.devices : a.degrees < b.degrees;
    });
    size_t kept = 0;
    for (const Way& way : *ways) {
      if (kept > 0 && way.degrees >= (*ways)[kept - 1].degrees) continue;
      (*ways)[kept++] = way;
    }
    ways->resize(kept);
  }

  std::optional<DegreePlan> Within(double limit) {
    ways_.assign(sets_.size(), {});
    ways_.back().push_back({});
    for (int set = sets_.size() - 2; set >= 0; --set) {
      for (size_t i = 0; i < above_[set].size(); ++i) Extend(set, i, limit);
      KeepBest(&ways_[set]);
    }
    if (ways_[0].empty()) return std::nullopt;
    std::vector<DegreeStage> stages;
    for (int set = 0, w = 0; set + 1 < sets_.size();) {
      const Way& way = ways_[set][w];
      DegreeStage& stage = stages.emplace_back();
      stage.nodes = sets_.Between(set, way.to);
      stage.data_degree = static_cast<int>(way.data_degree);
      stage.tensor_degree = tensor_degrees_[way.tensor];
      const int64_t later = way.degrees - way.data_degree;
      stage.variants = Choose(set, way.to, way.tensor, way.data_degree, InFlight(way.data_degree, later))->options;
      set = way.to;
      w = way.next;
    }
    absl::StatusOr<DegreePlan> plan = EvaluateDegrees(graph_, std::move(stages));
    if (!plan.ok()) return std::nullopt;
    return *std::move(plan);
  }

  const VariantGraph& graph_;
  const DownSets& sets_;
  const std::vector<std::vector<int>> above_;
  std::vector<bool> inside_;  // by node: scratch of Enter
  std::vector<int> tensor_degrees_;
  std::vector<int64_t> data_degrees_;
  std::vector<int64_t> first_pair_;  // by set
  std::vector<Floor> floor_;         // by pair of nested sets, then tensor-parallel degree
  absl::flat_hash_map<std::tuple<int64_t, int64_t, int64_t>, double> seconds_;
  std::vector<std::vector<Way>> ways_;  // by set
};

absl::Status CheckLimits(const VariantGraph& graph) {
  if (graph.nodes.empty()) return Bad("there are no nodes");
  if (graph.devices < 1 || graph.devices > (1 << 24)) {
    return Bad(absl::StrCat(graph.devices, " devices; from 1 to ", 1 << 24, " can be planned for"));
  }
  if (graph.micro_batches < 1 || graph.micro_batches > (1 << 24)) {
    return Bad(absl::StrCat(graph.micro_batches, " micro-batches; from 1 to ", 1 << 24, " can be planned for"));
  }
  if (!std::isfinite(graph.bandwidth) || graph.bandwidth <= 0) {
    return Bad(absl::StrCat("a bandwidth of ", graph.bandwidth, " bytes/s; it must be finite and above 0"));
  }
  if (!(graph.memory_limit >= 0)) return Bad(absl::StrCat("a memory limit of ", graph.memory_limit));
  return absl::OkStatus();
}

// Why nothing fits, as far as simple sums tell.
absl::Status NothingFits(const VariantGraph& graph) {
  double total = 0, most = 0;
  const VariantNode* largest = nullptr;
  for (const VariantNode& node : graph.nodes) {
    double least = kNever;
    for (const auto& [degree, list] : node.variants) {
      if (degree > graph.devices) continue;
      for (const LayerVariant& v : list) least = std::min(least, v.bytes_per_micro_batch + v.fixed_bytes);
    }
    if (least == kNever) {
      return absl::FailedPreconditionError(
          absl::StrCat("cost graph: node ", node.id, " runs at no degree that ", graph.devices, " devices allow"));
    }
    total += least;
    if (least > most) most = least, largest = &node;
  }
  const double room = graph.memory_limit * static_cast<double>(graph.devices);
  std::string why =
      absl::StrFormat("%.4g bytes would fit %.4g, but in no chain of stages that was looked at", total, room);
  if (most > graph.memory_limit) {
    why = absl::StrFormat("node %d alone takes %.4g bytes at least, %.4g more than a device has", largest->id, most,
                          most - graph.memory_limit);
  } else if (total > room) {
    why = absl::StrFormat("the nodes take %.4g bytes at least, %.4g more than %d devices have", total, total - room,
                          graph.devices);
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "cost graph: no plan keeps the memory limit of %.4g bytes a device: %s; give it more devices or memory",
      graph.memory_limit, why));
}

// What orders are made from: time at the lowest degree.
SplitProblem ProblemOf(const VariantGraph& graph) {
  SplitProblem problem;
  problem.before = graph.Before();
  for (const VariantNode& node : graph.nodes) {
    double seconds = 0;
    if (!node.variants.empty() && !node.variants.begin()->second.empty()) {
      seconds = node.variants.begin()->second[0].seconds;
    }
    problem.units.push_back({seconds});
  }
  for (const VariantEdge& edge : graph.edges) {
    if (edge.from != edge.to) {
      problem.tensors.push_back({edge.bytes, {std::min(edge.from, edge.to), std::max(edge.from, edge.to)}});
    }
  }
  return problem;
}

}  // namespace

absl::StatusOr<DegreePlan> PlanDegrees(const VariantGraph& graph, bool exact) {
  MR_RETURN_IF_ERROR(CheckLimits(graph));
  const absl::StatusOr<DownSets> sets = DownSets::Of(graph.Before(), kMostDownSets);
  if (sets.ok() && sets->CountPairs(kMostPairs) < kMostPairs) {
    std::optional<DegreePlan> plan = DegreeSearch(graph, *sets).Run(kNoBound);
    if (!plan.has_value()) return NothingFits(graph);
    plan->exact = true;
    plan->method = absl::StrCat("exact, over ", sets->size(), " down-sets");
    return *std::move(plan);
  }
  if (exact) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cost graph: the graph has ",
        sets.ok() ? absl::StrCat(sets->size()) : absl::StrCat("more than ", kMostDownSets),
        " down-sets, with more than the ", kMostPairs, " pairs that the exact search takes; use the default cut"));
  }
  const int64_t nodes = static_cast<int64_t>(graph.nodes.size());
  if (nodes * nodes / 2 > kMostPairs) {
    return absl::ResourceExhaustedError(absl::StrCat("cost graph: ", nodes, " nodes are too many for the search"));
  }
  std::optional<DegreePlan> best;
  int orders = 0;
  int64_t pairs = 0;
  for (const std::vector<int>& order : RuleOrders(ProblemOf(graph))) {
    std::optional<DegreePlan> plan =
        DegreeSearch(graph, DownSets::OfOrder(order)).Run(best.has_value() ? best->seconds * (1 - kClose) : kNoBound);
    ++orders;
    if (plan.has_value()) best = std::move(plan);
    if ((pairs += nodes * nodes / 2) > kMostPairs) break;
  }
  if (!best.has_value()) return NothingFits(graph);
  best->method = absl::StrCat("over the prefixes of ", orders, " orders");
  return *std::move(best);
}

absl::StatusOr<DegreePlan> EvaluateDegrees(const VariantGraph& graph, std::vector<DegreeStage> stages) {
  DegreePlan plan;
  std::vector<int> stage_of(graph.nodes.size(), -1);
  for (size_t s = 0; s < stages.size(); ++s) {
    for (int n : stages[s].nodes) {
      if (n < 0 || n >= static_cast<int>(stage_of.size()) || stage_of[n] >= 0) {
        return Bad(absl::StrCat("node number ", n, " is not one of the graph's, or is in two stages"));
      }
      stage_of[n] = static_cast<int>(s);
    }
  }
  for (size_t n = 0; n < stage_of.size(); ++n) {
    if (stage_of[n] < 0) return Bad(absl::StrCat("node ", graph.nodes[n].id, " is in no stage"));
  }
  for (const VariantEdge& edge : graph.edges) {
    if (stage_of[edge.from] <= stage_of[edge.to]) continue;
    return Bad(
        absl::StrCat("the edge from node ", graph.nodes[edge.from].id, " to ", graph.nodes[edge.to].id, " goes back"));
  }
  int64_t later = 0;
  std::vector<bool> inside(stage_of.size(), false);
  for (size_t s = stages.size(); s-- > 0;) {
    DegreeStage& stage = stages[s];
    if (stage.data_degree < 1 || graph.micro_batches % stage.data_degree != 0) {
      return Bad(
          absl::StrCat("stage ", s, ": ", stage.data_degree, " replicas for ", graph.micro_batches, " micro-batches"));
    }
    const double in_flight = static_cast<double>(InFlight(stage.data_degree, later));
    later += stage.data_degree;
    stage.compute = stage.communication = stage.reduction = stage.bytes = 0;
    for (int n : stage.nodes) inside[n] = true;
    for (size_t i = 0; i < stage.nodes.size(); ++i) {
      const auto variants = graph.nodes[stage.nodes[i]].variants.find(stage.tensor_degree);
      if (variants == graph.nodes[stage.nodes[i]].variants.end() || stage.variants.size() != stage.nodes.size() ||
          stage.variants[i] < 0 || stage.variants[i] >= static_cast<int>(variants->second.size())) {
        return Bad(absl::StrCat("stage ", s, ": node ", graph.nodes[stage.nodes[i]].id, " has no such variant"));
      }
      const LayerVariant& variant = variants->second[stage.variants[i]];
      const NodeSeconds seconds = SecondsOf(graph, stage.nodes[i], variant, stage.data_degree, inside);
      stage.compute += seconds.compute;
      stage.communication += seconds.communication;
      stage.reduction += seconds.reduction;
      stage.bytes += variant.bytes_per_micro_batch * in_flight + variant.fixed_bytes;
    }
    for (int n : stage.nodes) inside[n] = false;
    if (stage.bytes > graph.memory_limit * (1 + kClose)) return Bad(absl::StrCat("stage ", s, " does not fit"));
    plan.seconds = std::max(plan.seconds, stage.seconds());
    plan.devices += int64_t{stage.data_degree} * stage.tensor_degree;
  }
  if (plan.devices > graph.devices) return Bad("there are more replicas than devices");
  plan.stages = std::move(stages);
  return plan;
}

}  // namespace millrace
