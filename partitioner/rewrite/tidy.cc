#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

std::vector<bool> NeededNodes(const Graph& graph) {
  std::vector<int> producer(graph.values.size(), -1);
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    for (int v : graph.nodes[n].outputs) {
      if (v >= 0) producer[v] = n;
    }
  }
  std::vector<bool> needed(graph.nodes.size(), false);
  std::vector<int> open;
  auto need = [&](int value) {
    const int node = value < 0 ? -1 : producer[value];
    if (node < 0 || needed[node]) return;
    needed[node] = true;
    open.push_back(node);
  };
  for (int root : {graph.loss, graph.count, graph.logits}) need(root);
  while (!open.empty()) {
    const int node = open.back();
    open.pop_back();
    for (int v : graph.nodes[node].inputs) need(v);
  }
  return needed;
}

// New index of every value that stays, -1 for the others.
std::vector<int> Renumber(const Graph& graph) {
  std::vector<bool> kept(graph.values.size(), false);
  for (const GraphNode& node : graph.nodes) {
    for (const std::vector<int>* side : {&node.inputs, &node.outputs}) {
      for (int v : *side) {
        if (v >= 0) kept[v] = true;
      }
    }
  }
  for (const GraphParameter& p : graph.parameters) kept[p.value] = true;
  std::vector<int> renumbered(graph.values.size(), -1);
  int next = 0;
  for (int v = 0; v < static_cast<int>(kept.size()); ++v) {
    if (kept[v]) renumbered[v] = next++;
  }
  return renumbered;
}

void Index(Graph* graph) {
  for (GraphValue& value : graph->values) {
    value.producer = -1;
    value.consumers.clear();
  }
  for (int n = 0; n < static_cast<int>(graph->nodes.size()); ++n) {
    GraphNode& node = graph->nodes[n];
    node.forward_node = node.unit = n;
    for (int v : node.inputs) {
      if (v >= 0) graph->values[v].consumers.push_back(n);
    }
    for (int v : node.outputs) {
      if (v >= 0) graph->values[v].producer = n;
    }
  }
}

}  // namespace

Graph Tidy(Graph graph) {
  const std::vector<bool> needed = NeededNodes(graph);
  std::vector<GraphNode> nodes;
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    if (needed[n]) nodes.push_back(std::move(graph.nodes[n]));
  }
  graph.nodes = std::move(nodes);

  const std::vector<int> renumbered = Renumber(graph);
  auto move_index = [&](int* value) { *value = *value < 0 ? -1 : renumbered[*value]; };
  std::vector<GraphValue> values;
  for (int v = 0; v < static_cast<int>(renumbered.size()); ++v) {
    if (renumbered[v] < 0) continue;
    move_index(&graph.values[v].alias_of);
    values.push_back(std::move(graph.values[v]));
  }
  graph.values = std::move(values);
  for (GraphNode& node : graph.nodes) {
    for (int& v : node.inputs) move_index(&v);
    for (int& v : node.outputs) move_index(&v);
  }
  for (GraphParameter& p : graph.parameters) move_index(&p.value);
  for (int* result : {&graph.loss, &graph.count, &graph.logits}) move_index(result);

  std::vector<int> inputs;
  std::vector<proto::Input> model_inputs;
  for (int i = 0; i < static_cast<int>(graph.inputs.size()); ++i) {
    const int value = renumbered[graph.inputs[i]];
    if (value < 0) continue;
    inputs.push_back(value);
    model_inputs.push_back(graph.model_inputs[i]);
  }
  graph.inputs = std::move(inputs);
  graph.model_inputs = std::move(model_inputs);
  Index(&graph);
  return graph;
}

int OnlyConsumer(const Graph& graph, int value) {
  if (value < 0 || value == graph.logits || value == graph.loss || value == graph.count) return -1;
  const std::vector<int>& consumers = graph.values[value].consumers;
  return consumers.size() == 1 ? consumers[0] : -1;
}

int NewActivation(Graph* graph, const std::string& name, const TensorSpec& spec) {
  auto taken = [&](const std::string& candidate) {
    return std::any_of(graph->values.begin(), graph->values.end(),
                       [&](const GraphValue& v) { return v.name == candidate; });
  };
  GraphValue value;
  value.name = name;
  for (int suffix = 2; taken(value.name); ++suffix) value.name = absl::StrCat(name, "#", suffix);
  value.spec = spec;
  graph->values.push_back(std::move(value));
  return graph->values.size() - 1;
}

bool IsParameter(const Graph& graph, int value) {
  return value >= 0 && graph.values[value].kind == GraphValue::Kind::kParameter;
}

}  // namespace millrace
