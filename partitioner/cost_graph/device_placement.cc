#include "partitioner/cost_graph/device_placement.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "partitioner/cost_graph/components.h"
#include "partitioner/cost_graph/json_fields.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostDevices = 1 << 16;

struct Node {
  int64_t id = 0;
  int group = 0;  // colour class
  bool backward = false;
  SplitUnit work;
};

struct Edge {
  int from = 0, to = 0;  // nodes
};

class Reader {
 public:
  absl::Status Read(const nlohmann::json& json, absl::optional<double> memory_limit) {
    MR_ASSIGN_OR_RETURN(memory_limit_, NumberAt(json, "maxSizePerFPGA", "the file"));
    memory_limit_ = memory_limit.value_or(memory_limit_);
    MR_ASSIGN_OR_RETURN(accelerators_, IntegerAt(json, "maxFPGAs", "the file"));
    MR_ASSIGN_OR_RETURN(hosts_, IntegerAt(json, "maxCPUs", "the file"));
    for (int64_t count : {accelerators_, hosts_}) {
      if (count >= 0 && count <= kMostDevices) continue;
      return absl::InvalidArgumentError(absl::StrCat("cost graph: the file has ", count, " devices"));
    }
    MR_ASSIGN_OR_RETURN(const nlohmann::json* nodes, ListAt(json, "nodes", "the file"));
    MR_ASSIGN_OR_RETURN(const nlohmann::json* edges, ListAt(json, "edges", "the file"));
    for (const nlohmann::json& node : *nodes) MR_RETURN_IF_ERROR(AddNode(node));
    cost_of_.resize(nodes_.size(), 0);
    for (const nlohmann::json& edge : *edges) MR_RETURN_IF_ERROR(AddEdge(edge));
    return nodes_.empty() ? absl::InvalidArgumentError("cost graph: the file has no nodes") : absl::OkStatus();
  }

  PlacementGraph Graph() {
    unit_of_group_.resize(groups_);
    std::iota(unit_of_group_.begin(), unit_of_group_.end(), 0);
    Renumber(StronglyConnected(OrderEdges()));
    JoinIdle();
    return Build();
  }

 private:
  absl::Status AddNode(const nlohmann::json& json) {
    Node node;
    MR_ASSIGN_OR_RETURN(node.id, IntegerAt(json, "id", absl::StrCat("node number ", nodes_.size() + 1)));
    const std::string where = absl::StrCat("node ", node.id);
    MR_ASSIGN_OR_RETURN(node.work.accelerator_can, FlagAt(json, "supportedOnFpga", where));
    MR_ASSIGN_OR_RETURN(node.work.host_time, NumberAt(json, "cpuLatency", where));
    MR_ASSIGN_OR_RETURN(node.work.accelerator_time, NumberAt(json, "fpgaLatency", where));
    MR_ASSIGN_OR_RETURN(node.backward, FlagAt(json, "isBackwardNode", where));
    MR_ASSIGN_OR_RETURN(node.work.bytes, NumberAt(json, "size", where));
    if (json.contains("colorClass") && !json["colorClass"].is_null()) {
      MR_ASSIGN_OR_RETURN(const int64_t color, IntegerAt(json, "colorClass", where));
      const auto [found, is_new] = group_of_color_.emplace(color, groups_);
      groups_ += is_new;
      node.group = found->second;
    } else {
      node.group = groups_++;
    }
    if (!index_of_.emplace(node.id, static_cast<int>(nodes_.size())).second) {
      return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, " is there twice"));
    }
    nodes_.push_back(std::move(node));
    return absl::OkStatus();
  }

  absl::Status AddEdge(const nlohmann::json& json) {
    const std::string where = absl::StrCat("edge number ", edges_.size() + 1);
    MR_ASSIGN_OR_RETURN(const int64_t from, IntegerAt(json, "sourceId", where));
    MR_ASSIGN_OR_RETURN(const int64_t to, IntegerAt(json, "destId", where));
    MR_ASSIGN_OR_RETURN(const double cost, NumberAt(json, "cost", where));
    const auto source = index_of_.find(from), target = index_of_.find(to);
    if (source == index_of_.end() || target == index_of_.end()) {
      return absl::InvalidArgumentError(absl::StrCat("cost graph: ", where, " joins node ", from, " and ", to,
                                                     "; node ", source == index_of_.end() ? from : to,
                                                     " is not in the file"));
    }
    edges_.push_back({source->second, target->second});
    cost_of_[source->second] = std::max(cost_of_[source->second], cost);
    return absl::OkStatus();
  }

  int UnitOf(int node) const { return unit_of_group_[nodes_[node].group]; }
  int Units() const { return 1 + *std::max_element(unit_of_group_.begin(), unit_of_group_.end()); }

  // unit_of_unit[u]: the unit that u becomes.
  void Renumber(const std::vector<int>& unit_of_unit) {
    std::map<int, int> numbers;  // in the order of the groups
    for (int& unit : unit_of_group_) {
      unit = numbers.emplace(unit_of_unit[unit], static_cast<int>(numbers.size())).first->second;
    }
  }

  // By unit: units that must be in no later piece. Edges between forward nodes; and, turned round, edges between
  // backward nodes where one's unit has no forward node that could say where it belongs.
  std::vector<std::vector<int>> OrderEdges() const {
    const int units = Units();
    std::vector<bool> has_forward(units, false);
    for (size_t n = 0; n < nodes_.size(); ++n) {
      if (!nodes_[n].backward) has_forward[UnitOf(static_cast<int>(n))] = true;
    }
    std::vector<std::set<int>> before(units);
    for (const Edge& edge : edges_) {
      const int from = UnitOf(edge.from), to = UnitOf(edge.to);
      if (from == to) continue;
      const bool forward = !nodes_[edge.from].backward && !nodes_[edge.to].backward;
      const bool backward = nodes_[edge.from].backward && nodes_[edge.to].backward;
      if (forward) before[to].insert(from);
      if (backward && (!has_forward[from] || !has_forward[to])) before[from].insert(to);
    }
    std::vector<std::vector<int>> lists;
    for (const std::set<int>& set : before) lists.emplace_back(set.begin(), set.end());
    return lists;
  }

  // Joins each unit that takes no time and whose forward nodes have one forward neighbour and no backward one to that
  // neighbour: apart from it, it could only cost a transfer, or take memory elsewhere.
  void JoinIdle() {
    const int units = Units();
    std::vector<double> time(units, 0), bytes(units, 0);
    std::vector<bool> accelerator_can(units, true);
    double all_bytes = 0;
    std::vector<std::set<int>> neighbours(units);
    std::vector<bool> feeds_backward(units, false);
    for (size_t n = 0; n < nodes_.size(); ++n) {
      const int u = UnitOf(static_cast<int>(n));
      time[u] += nodes_[n].work.accelerator_time + nodes_[n].work.host_time;
      bytes[u] += nodes_[n].work.bytes;
      all_bytes += nodes_[n].work.bytes;
      if (!nodes_[n].work.accelerator_can) accelerator_can[u] = false;
    }
    for (const Edge& edge : edges_) {
      const int from = UnitOf(edge.from), to = UnitOf(edge.to);
      if (nodes_[edge.from].backward) continue;
      if (nodes_[edge.to].backward) {
        feeds_backward[from] = true;
      } else if (from != to) {
        neighbours[from].insert(to);
        neighbours[to].insert(from);
      }
    }
    std::vector<int> joined(units);
    std::iota(joined.begin(), joined.end(), 0);
    const auto root = [&](int u) {
      while (joined[u] != u) u = joined[u];
      return u;
    };
    for (int u = 0; u < units; ++u) {
      if (time[u] > 0 || neighbours[u].size() != 1 || feeds_backward[u] || !accelerator_can[u]) continue;
      if (bytes[u] > 0 && all_bytes > memory_limit_) continue;
      const int neighbour = root(*neighbours[u].begin());
      if (neighbour != root(u)) joined[root(u)] = neighbour;
    }
    std::vector<int> unit_of_unit;
    for (int u = 0; u < units; ++u) unit_of_unit.push_back(root(u));
    Renumber(unit_of_unit);
  }

  PlacementGraph Build() const {
    PlacementGraph graph;
    graph.nodes = static_cast<int>(nodes_.size());
    graph.edges = static_cast<int>(edges_.size());
    graph.classes = groups_;
    SplitProblem& problem = graph.problem;
    problem.accelerators = static_cast<int>(accelerators_);
    problem.hosts = static_cast<int>(hosts_);
    problem.memory_limit = memory_limit_;
    problem.units.resize(Units());
    problem.before = OrderEdges();
    graph.node_ids.resize(problem.units.size());
    std::vector<std::set<int>> touches(nodes_.size());
    for (size_t n = 0; n < nodes_.size(); ++n) {
      const int u = UnitOf(static_cast<int>(n));
      SplitUnit& unit = problem.units[u];
      unit.accelerator_time += nodes_[n].work.accelerator_time;
      unit.host_time += nodes_[n].work.host_time;
      unit.bytes += nodes_[n].work.bytes;
      unit.accelerator_can = unit.accelerator_can && nodes_[n].work.accelerator_can;
      graph.node_ids[u].push_back(nodes_[n].id);
      touches[n].insert(u);
    }
    for (std::vector<int64_t>& ids : graph.node_ids) std::sort(ids.begin(), ids.end());
    for (const Edge& edge : edges_) touches[edge.from].insert(UnitOf(edge.to));
    for (size_t n = 0; n < nodes_.size(); ++n) {
      if (touches[n].size() < 2) continue;
      problem.tensors.push_back({cost_of_[n], {touches[n].begin(), touches[n].end()}});
    }
    return graph;
  }

  double memory_limit_ = 0;
  int64_t accelerators_ = 0, hosts_ = 0;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<double> cost_of_;  // by node: of its output over a link
  absl::flat_hash_map<int64_t, int> index_of_, group_of_color_;
  int groups_ = 0;
  std::vector<int> unit_of_group_;
};

}  // namespace

absl::StatusOr<PlacementGraph> ParseDevicePlacement(absl::string_view text, absl::optional<double> memory_limit) {
  MR_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text));
  Reader reader;
  MR_RETURN_IF_ERROR(reader.Read(json, memory_limit));
  return reader.Graph();
}

}  // namespace millrace
