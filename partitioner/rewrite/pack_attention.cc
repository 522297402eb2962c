#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

// Are q, k, v the three parts, in order, of one Split along the last axis, which nothing else reads?
int PackedSource(const Graph& graph, const GraphNode& attention) {
  if (attention.inputs.size() != 3) return -1;
  const int producer = graph.values[attention.inputs[0]].producer;
  if (producer < 0) return -1;
  const GraphNode& split = graph.nodes[producer];
  const TensorSpec& source = graph.values[split.inputs[0]].spec;
  if (split.op != "Split" || split.outputs != attention.inputs || source.dims.size() != 3) return -1;
  if (split.attributes.Int("axis", 0) != 2) return -1;
  for (int part : split.outputs) {
    if (OnlyConsumer(graph, part) < 0) return -1;
  }
  return split.inputs[0];
}

}  // namespace

Graph PackAttention(Graph graph) {
  for (GraphNode& node : graph.nodes) {
    if (node.op != "Attention" || node.inputs.size() != 3 || node.inputs[1] < 0) continue;
    const int source = PackedSource(graph, node);
    if (source >= 0) node.inputs = {source};
  }
  return Tidy(std::move(graph));
}

}  // namespace millrace
