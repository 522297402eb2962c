#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {

Graph RemoveIdentities(Graph graph, bool all_dropout) {
  std::vector<int> stands_for(graph.values.size());
  for (int v = 0; v < static_cast<int>(stands_for.size()); ++v) stands_for[v] = v;
  for (GraphNode& node : graph.nodes) {
    for (int& v : node.inputs) v = v < 0 ? v : stands_for[v];
    const bool vanishes =
        node.op == "Identity" || (node.op == "Dropout" && (all_dropout || node.attributes.Float("ratio", 0.5) == 0));
    if (!vanishes) continue;
    // Logits must be made by a node.
    const bool from_node = graph.values[node.inputs[0]].kind == GraphValue::Kind::kActivation;
    if (node.outputs[0] == graph.logits && !from_node) continue;
    stands_for[node.outputs[0]] = node.inputs[0];
  }
  if (graph.logits >= 0) graph.logits = stands_for[graph.logits];
  return Tidy(std::move(graph));
}

}  // namespace millrace
