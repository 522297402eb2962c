#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

// The 2-D parameter that `value` is the transpose of, else -1.
int TransposedParameter(const Graph& graph, int value) {
  const int producer = graph.values[value].producer;
  if (producer < 0 || graph.nodes[producer].op != "Transpose") return -1;
  const GraphNode& node = graph.nodes[producer];
  const bool swaps = node.attributes.Ints("perm") == std::vector<int64_t>{1, 0};
  return swaps && IsParameter(graph, node.inputs[0]) ? node.inputs[0] : -1;
}

void Fold(const Graph& graph, const char* attribute, int input, GraphNode* node) {
  const int parameter = TransposedParameter(graph, node->inputs[input]);
  if (parameter < 0) return;
  node->inputs[input] = parameter;
  node->attributes.SetInt(attribute, 1 - (node->attributes.Int(attribute, 0) != 0 ? 1 : 0));
}

// FusedMatMul has no factors, a bias of one dimension only, and does not transpose A.
bool CanForm(const Graph& graph, const GraphNode& gemm) {
  const Attributes& a = gemm.attributes;
  if (a.Int("transA", 0) != 0 || a.Float("alpha", 1) != 1) return false;
  const int c = gemm.inputs.size() > 2 ? gemm.inputs[2] : -1;
  if (c < 0) return true;
  return a.Float("beta", 1) == 1 &&
         graph.values[c].spec.dims == std::vector<int64_t>{graph.values[gemm.outputs[0]].spec.columns()};
}

}  // namespace

Graph FormMatMuls(Graph graph, bool pack) {
  for (GraphNode& node : graph.nodes) {
    if (node.op != "MatMul" && node.op != "Gemm") continue;
    if (node.op == "Gemm") {
      Fold(graph, "transA", 0, &node);
      Fold(graph, "transB", 1, &node);
      if (!CanForm(graph, node)) continue;
    } else if (graph.values[node.inputs[1]].spec.dims.size() == 2) {
      Fold(graph, "transB", 1, &node);
    }
    Attributes attributes;
    if (node.attributes.Int("transB", 0) != 0) attributes.SetInt("transB", 1);
    if (pack && IsParameter(graph, node.inputs[1]) && graph.values[node.inputs[1]].spec.dims.size() == 2) {
      attributes.SetInt("packed", 1);
    }
    node.op = "FusedMatMul";
    node.attributes = std::move(attributes);
  }
  return Tidy(std::move(graph));
}

}  // namespace millrace
