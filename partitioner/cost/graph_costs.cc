#include "partitioner/cost/graph_costs.h"

#include "absl/strings/str_format.h"
#include "partitioner/graph/catalogue.h"

namespace millrace {

bool IsView(const Graph& graph, const GraphNode& node) {
  bool any = false;
  for (int v : node.outputs) {
    if (v < 0) continue;
    if (graph.values[v].alias_of < 0) return false;
    any = true;
  }
  return any;
}

std::vector<NodeCost> CostsOf(const Graph& graph, const CostModel& model, int devices) {
  std::vector<NodeCost> costs(graph.nodes.size());
  for (size_t n = 0; n < costs.size(); ++n) {
    NodeCost& cost = costs[n];
    cost.seconds.assign(devices, 0);
    cost.seconds_shared.assign(devices, 0);
    if (IsView(graph, graph.nodes[n])) continue;
    const OpDesc desc = graph.Desc(graph.nodes[n]);
    cost.key = desc.Key();
    cost.flops = Flops(desc);
    cost.bytes = Bytes(desc);
    cost.measured = devices > 0;
    for (int d = 0; d < devices; ++d) {
      const CallCost call = model.Call(desc, cost.key, d);
      cost.seconds[d] = call.alone;
      cost.seconds_shared[d] = call.shared;
      cost.measured = cost.measured && call.measured;
    }
  }
  return costs;
}

std::string CostsText(const Graph& graph, const std::vector<NodeCost>& costs) {
  std::string text = "      us      MFLOP         MB  node\n";
  for (size_t n = 0; n < costs.size(); ++n) {
    if (costs[n].key.empty()) continue;
    absl::StrAppendFormat(&text, "%8.1f %10.3f %10.3f  %s %s: %s\n", costs[n].seconds[0] * 1e6, costs[n].flops * 1e-6,
                          costs[n].bytes * 1e-6, proto::Phase_Name(graph.nodes[n].phase), graph.nodes[n].name,
                          costs[n].key);
  }
  return text;
}

}  // namespace millrace
