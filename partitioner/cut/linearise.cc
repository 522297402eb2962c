#include "partitioner/cut/linearise.h"

#include <algorithm>
#include <tuple>

namespace millrace {
namespace {

// Numbers the units in the order of their first forward nodes and gives every node its unit.
void NumberUnits(const Graph& graph, Chain* chain) {
  std::vector<int> number(graph.nodes.size(), -1);  // by GraphNode.unit
  chain->unit_of_node.assign(graph.nodes.size(), 0);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const GraphNode& node = graph.nodes[n];
    if (node.phase != proto::F) {
      chain->unit_of_node[n] = chain->unit_of_node[node.forward_node];
      continue;
    }
    int& unit = number[node.unit < 0 ? static_cast<int>(n) : node.unit];
    if (unit < 0) {
      unit = static_cast<int>(chain->units.size());
      chain->units.emplace_back();
    }
    chain->unit_of_node[n] = unit;
    chain->units[unit].last_node = node.name;
  }
}

void AddSeconds(const Graph& graph, const std::vector<NodeCost>& costs, Chain* chain) {
  const size_t devices = costs.empty() ? 1 : costs[0].seconds.size();
  for (ChainUnit& unit : chain->units) {
    for (std::vector<double>* seconds : {&unit.forward, &unit.backward, &unit.weight}) seconds->assign(devices, 0);
  }
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    ChainUnit& unit = chain->units[chain->unit_of_node[n]];
    std::vector<double>& seconds = graph.nodes[n].phase == proto::F   ? unit.forward
                                   : graph.nodes[n].phase == proto::W ? unit.weight
                                                                      : unit.backward;
    for (size_t d = 0; d < devices; ++d) seconds[d] += costs[n].seconds[d];
  }
}

void AddTensors(const Graph& graph, Chain* chain) {
  std::vector<std::vector<int>> units(graph.values.size());  // by root
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (IsView(graph, graph.nodes[n])) continue;
    for (const std::vector<int>* operands : {&graph.nodes[n].inputs, &graph.nodes[n].outputs}) {
      for (int v : *operands) {
        if (v >= 0) units[graph.Root(v)].push_back(chain->unit_of_node[n]);
      }
    }
  }
  for (size_t v = 0; v < units.size(); ++v) {
    std::sort(units[v].begin(), units[v].end());
    units[v].erase(std::unique(units[v].begin(), units[v].end()), units[v].end());
    const GraphValue& value = graph.values[v];
    if (value.kind == GraphValue::Kind::kParameter && !units[v].empty()) {
      chain->units[units[v][0]].parameter_bytes += value.spec.bytes();
    }
    if (value.kind != GraphValue::Kind::kActivation || units[v].size() < 2) continue;
    chain->tensors.push_back({static_cast<uint64_t>(value.spec.bytes()), std::move(units[v])});
  }
}

// Who reads whose results, whichever way they go: the lower number comes first, as it does in the graph's own order.
void AddOrder(const Graph& graph, Chain* chain) {
  chain->before.resize(chain->units.size());
  std::vector<bool> stashed(graph.values.size(), false);  // by root
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const int unit = chain->unit_of_node[n];
    for (int v : graph.nodes[n].inputs) {
      if (v < 0) continue;
      const int root = graph.Root(v);
      if (graph.nodes[n].phase != proto::F) stashed[root] = true;
      for (int producer : {graph.values[v].producer, graph.values[root].producer}) {
        if (producer < 0 || chain->unit_of_node[producer] == unit) continue;
        const auto [first, second] = std::minmax(unit, chain->unit_of_node[producer]);
        chain->before[second].push_back(first);
      }
    }
  }
  for (std::vector<int>& before : chain->before) {
    std::sort(before.begin(), before.end());
    before.erase(std::unique(before.begin(), before.end()), before.end());
  }
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const GraphValue& value = graph.values[v];
    if (!stashed[v] || value.kind != GraphValue::Kind::kActivation || value.producer < 0) continue;
    if (graph.nodes[value.producer].phase != proto::F) continue;
    chain->units[chain->unit_of_node[value.producer]].stash_bytes += static_cast<uint64_t>(value.spec.bytes());
  }
}

}  // namespace

double Chain::Seconds(int unit, int device) const {
  return units[unit].forward[device] + units[unit].backward[device] + units[unit].weight[device];
}

Chain Linearise(const Graph& graph, const std::vector<NodeCost>& costs) {
  Chain chain;
  NumberUnits(graph, &chain);
  AddSeconds(graph, costs, &chain);
  AddTensors(graph, &chain);
  AddOrder(graph, &chain);
  return chain;
}

}  // namespace millrace
