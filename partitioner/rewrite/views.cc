#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {

Graph MarkViews(Graph graph) {
  for (const GraphNode& node : graph.nodes) {
    if (node.op == "Reshape") graph.values[node.outputs[0]].alias_of = node.inputs[0];
  }
  return Tidy(std::move(graph));
}

}  // namespace millrace
