#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/rewrite/passes.h"

namespace millrace {
namespace {

// The matrix multiplication whose product, perhaps reshaped row-wise, is all that `scores` is; -1 when there is none.
int ScoresMaker(const Graph& graph, int scores) {
  const int64_t classes = graph.values[scores].spec.columns();
  while (OnlyConsumer(graph, scores) >= 0 && graph.values[scores].spec.columns() == classes) {
    const int producer = graph.values[scores].producer;
    if (producer < 0) return -1;
    const GraphNode& node = graph.nodes[producer];
    if (node.op == "FusedMatMul") return node.inputs.size() == 2 && IsParameter(graph, node.inputs[1]) ? producer : -1;
    if (node.op != "Reshape") return -1;
    scores = node.inputs[0];
  }
  return -1;
}

// Labels with the dimensions of x's rows: the value itself, what it was reshaped from, or a new Reshape of it.
int LabelsLike(Graph* graph, int labels, const TensorSpec& x, const std::string& name, std::vector<GraphNode>* nodes) {
  const std::vector<int64_t> rows(x.dims.begin(), x.dims.end() - 1);
  for (int v = labels; v >= 0;) {
    if (graph->values[v].spec.dims == rows) return v;
    const int producer = graph->values[v].producer;
    v = producer >= 0 && graph->nodes[producer].op == "Reshape" ? graph->nodes[producer].inputs[0] : -1;
  }
  GraphNode reshape;
  reshape.name = absl::StrCat(name, "/labels");
  reshape.op = "Reshape";
  reshape.attributes.SetInts("shape", rows);
  reshape.inputs = {labels};
  reshape.outputs = {NewActivation(graph, reshape.name, {proto::I64, rows})};
  nodes->push_back(reshape);
  return reshape.outputs[0];
}

}  // namespace

Graph JoinLinearCrossEntropy(Graph graph) {
  std::vector<GraphNode> nodes;
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    GraphNode node = graph.nodes[n];
    const int maker = node.op == "SoftmaxCrossEntropyLoss" ? ScoresMaker(graph, node.inputs[0]) : -1;
    if (maker >= 0) {
      const GraphNode& matmul = graph.nodes[maker];
      const int x = matmul.inputs[0];
      const int labels = LabelsLike(&graph, node.inputs[1], graph.values[x].spec, matmul.name, &nodes);
      node.name = matmul.name;
      node.op = "LinearCrossEntropy";
      node.inputs = {x, matmul.inputs[1], labels};
      node.attributes.SetInt("transB", matmul.attributes.Int("transB", 0));
    }
    nodes.push_back(std::move(node));
  }
  graph.nodes = std::move(nodes);
  return Tidy(std::move(graph));
}

}  // namespace millrace
