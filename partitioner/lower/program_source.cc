#include "partitioner/lower/program_source.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace millrace {
namespace {

int AddMetric(const std::string& name, int term, StagedGraph* staged) {
  Graph& graph = staged->graph;
  const int producer = graph.values[graph.Root(term)].producer;
  const int node_index = static_cast<int>(graph.nodes.size());
  GraphValue metric;
  metric.name = name;
  metric.spec = graph.values[term].spec;
  metric.producer = node_index;
  GraphNode node;
  node.name = name;
  node.op = "Accumulate";
  node.inputs = {term};
  node.outputs = {static_cast<int>(graph.values.size())};
  node.forward_node = node_index;
  node.unit = graph.nodes[producer].unit;
  graph.values.push_back(std::move(metric));
  staged->stage_of_node.push_back(staged->stage_of_node[producer]);
  graph.nodes.push_back(std::move(node));
  return static_cast<int>(graph.values.size()) - 1;
}

}  // namespace

StagedGraph StageGraph(Graph graph, std::vector<int> stage_of_node) {
  StagedGraph staged{.graph = std::move(graph), .stage_of_node = std::move(stage_of_node)};
  if (staged.graph.loss >= 0) staged.loss_sum = AddMetric("loss_sum", staged.graph.loss, &staged);
  if (staged.graph.count >= 0) staged.loss_count = AddMetric("loss_count", staged.graph.count, &staged);
  return staged;
}

StagedGraph StageLike(const StagedGraph& train, Graph graph) {
  absl::flat_hash_map<absl::string_view, int> stage_of;
  for (size_t n = 0; n < train.graph.nodes.size(); ++n) {
    if (train.graph.nodes[n].phase == proto::F) stage_of.emplace(train.graph.nodes[n].name, train.stage_of_node[n]);
  }
  std::vector<int> stages;
  for (const GraphNode& node : graph.nodes) {
    const auto namesake = stage_of.find(node.name);
    int stage = namesake == stage_of.end() ? 0 : namesake->second;
    for (int v : node.inputs) {
      const int producer = v < 0 ? -1 : graph.values[v].producer;
      if (producer >= 0) stage = std::max(stage, stages[producer]);
    }
    stages.push_back(stage);
  }
  return StageGraph(std::move(graph), std::move(stages));
}

}  // namespace millrace
