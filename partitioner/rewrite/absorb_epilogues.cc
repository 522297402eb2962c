#include <string>
#include <utility>

#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

// As FusedMatMul spells it; "" when it is no activation.
std::string ActivationName(const GraphNode& node) {
  if (node.op == "Gelu") return node.attributes.String("approximate", "none") == "tanh" ? "GeluTanh" : "Gelu";
  for (const char* op : {"Relu", "Silu", "Tanh", "Sigmoid"}) {
    if (node.op == op) return op;
  }
  return "";
}

int Input(const GraphNode& node, int i) { return i < static_cast<int>(node.inputs.size()) ? node.inputs[i] : -1; }

// One step: takes `next`, the only reader of the product, into `fused`. False when it does not fit.
bool Absorb(const Graph& graph, const GraphNode& next, GraphNode* fused) {
  const int y = fused->outputs[0];
  const bool active = fused->attributes.Has("activation");
  if (active || Input(*fused, 3) >= 0) return false;
  const std::string activation = ActivationName(next);
  if (!activation.empty()) {
    fused->attributes.SetString("activation", activation);
  } else if (next.op == "Add") {
    const int other = next.inputs[0] == y ? next.inputs[1] : next.inputs[0];
    const TensorSpec &product = graph.values[y].spec, &addend = graph.values[other].spec;
    const bool is_bias = addend.dims == std::vector<int64_t>{product.columns()};
    if (is_bias && Input(*fused, 2) < 0) {
      fused->inputs.resize(2);
      fused->inputs.push_back(other);
    } else if (addend == product) {
      fused->inputs.resize(3, -1);
      fused->inputs.push_back(other);
    } else {
      return false;
    }
  } else {
    return false;
  }
  fused->outputs[0] = next.outputs[0];
  return true;
}

}  // namespace

Graph AbsorbEpilogues(Graph graph) {
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    if (graph.nodes[n].op != "FusedMatMul") continue;
    GraphNode fused = graph.nodes[n];
    int place = n;
    for (;;) {
      const int next = OnlyConsumer(graph, fused.outputs[0]);
      if (next < 0 || !Absorb(graph, graph.nodes[next], &fused)) break;
      place = next;
    }
    if (place == n) continue;
    // The members' nodes are left without readers and go; the last one's place has every operand before it.
    graph.nodes[n].outputs.assign(1, -1);
    graph.nodes[place] = std::move(fused);
    graph.values[graph.nodes[place].outputs[0]].producer = place;
  }
  return Tidy(std::move(graph));
}

}  // namespace millrace
