#include "partitioner/search/recognise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

using Matrix = std::pair<int64_t, int64_t>;  // inputs, outputs

absl::Status Not(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the blocks are not those of a GPT or a Llama: ", why));
}

// Operators and shapes, without names and random keys.
std::string Signature(const Graph& graph, const GraphNode& node) {
  std::string text = node.op;
  for (const std::vector<int>& values : {node.inputs, node.outputs}) {
    for (int value : values) {
      absl::StrAppend(&text, " ", value < 0 ? "-" : absl::StrJoin(graph.values[value].spec.dims, "x"));
    }
    text += '>';
  }
  return text;
}

// The parameter that a value is, seen through a Transpose; -1: it is none. `turned`: there was one.
int ParameterOf(const Graph& graph, int value, bool* turned) {
  *turned = false;
  if (value < 0) return -1;
  const int producer = graph.values[value].producer;
  if (producer >= 0 && graph.nodes[producer].op == "Transpose") {
    *turned = true;
    value = graph.nodes[producer].inputs[0];
  }
  return graph.values[value].kind == GraphValue::Kind::kParameter ? value : -1;
}

// The two-dimensional parameter that a matrix multiplication reads, if it does.
void AddMatrix(const Graph& graph, const GraphNode& node, std::vector<Matrix>* matrices) {
  if (node.op != "MatMul" && node.op != "Gemm") return;
  for (int input : node.inputs) {
    bool turned = false;
    const int parameter = ParameterOf(graph, input, &turned);
    if (parameter < 0) continue;
    const std::vector<int64_t>& dims = graph.values[parameter].spec.dims;
    if (dims.size() == 2) matrices->emplace_back(dims[turned ? 1 : 0], dims[turned ? 0 : 1]);
  }
}

// The node whose result the loss reads, seen through views.
int OutputNode(const Graph& graph, const GraphNode& loss) {
  const int logits = loss.inputs[0];
  const int producer = graph.values[logits].producer;
  return producer >= 0 && graph.values[logits].alias_of >= 0 ? graph.values[graph.Root(logits)].producer : producer;
}

// Does another node read the matrix of this one too?
bool IsTied(const Graph& graph, int output) {
  for (int input : graph.nodes[output].inputs) {
    bool turned = false;
    const int parameter = ParameterOf(graph, input, &turned);
    if (parameter >= 0 && graph.values[parameter].spec.dims.size() == 2) {
      return graph.values[parameter].consumers.size() > 1;
    }
  }
  return true;
}

// Sets the family and what belongs to it. False: neither's.
bool SetFamily(std::vector<Matrix> matrices, Transformer* model) {
  const int64_t h = model->hidden, k = model->key_width();
  std::sort(matrices.begin(), matrices.end());
  const auto are = [&](std::vector<Matrix> list) {
    std::sort(list.begin(), list.end());
    return matrices == list;
  };
  if (k == h && (are({{h, 3 * h}, {h, h}, {h, 4 * h}, {4 * h, h}}) ||
                 are({{h, h}, {h, h}, {h, h}, {h, h}, {h, 4 * h}, {4 * h, h}}))) {
    return true;
  }
  for (const auto& [inputs, outputs] : matrices) {
    if (!are({{h, h}, {h, k}, {h, k}, {h, h}, {h, inputs}, {h, inputs}, {inputs, h}})) continue;
    model->family = TransformerFamily::kLlama;
    model->mlp = inputs;
    return true;
  }
  return false;
}

std::vector<int> NodesOf(const Graph& graph, absl::string_view op) {
  std::vector<int> nodes;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].op == op) nodes.push_back(static_cast<int>(n));
  }
  return nodes;
}

// From one Attention to the next everything repeats.
absl::Status CheckEqualBlocks(const Graph& graph, const std::vector<int>& attentions) {
  const int length = attentions.size() > 1 ? attentions[1] - attentions[0] : 0;
  for (size_t block = 1; block + 1 < attentions.size(); ++block) {
    const std::string where = absl::StrCat("block ", block, " differs from block 0");
    if (attentions[block + 1] - attentions[block] != length) return Not(absl::StrCat(where, " in its length"));
    for (int n = 0; n < length; ++n) {
      const GraphNode &first = graph.nodes[attentions[0] + n], &own = graph.nodes[attentions[block] + n];
      if (Signature(graph, first) == Signature(graph, own)) continue;
      return Not(absl::StrCat(where, " at node '", absl::CHexEscape(own.name), "'"));
    }
  }
  return absl::OkStatus();
}

double ParametersOf(const Graph& graph) {
  double elements = 0;
  for (const GraphParameter& parameter : graph.parameters) {
    if (parameter.constant) continue;
    elements += static_cast<double>(parameter.spec.elements());
  }
  return elements;
}

}  // namespace

absl::StatusOr<Transformer> RecogniseTransformer(const Graph& graph) {
  const std::vector<int> attentions = NodesOf(graph, "Attention"), losses = NodesOf(graph, "SoftmaxCrossEntropyLoss");
  if (attentions.empty()) return Not("there is no Attention");
  if (losses.size() != 1) return Not("there is not one SoftmaxCrossEntropyLoss");
  const GraphNode& attention = graph.nodes[attentions[0]];
  const std::vector<int64_t>& queries = graph.values[attention.inputs[0]].spec.dims;
  const std::vector<int64_t>& logits = graph.values[graph.nodes[losses[0]].inputs[0]].spec.dims;
  if (queries.size() != 3 || logits.empty()) return Not("Attention's queries are not [batch, sequence, width]");
  Transformer model;
  model.layers = static_cast<int64_t>(attentions.size());
  model.heads = attention.attributes.Int("q_num_heads", 0);
  model.sequence = queries[1];
  model.hidden = queries[2];
  model.vocabulary = logits.back();
  model.key_value_heads = attention.attributes.Int("kv_num_heads", model.heads);
  if (absl::Status status = CheckTransformer(model); !status.ok()) return Not(status.message());
  if (absl::Status status = CheckEqualBlocks(graph, attentions); !status.ok()) return status;

  const int output = OutputNode(graph, graph.nodes[losses[0]]);
  if (output < 0) return Not("no node makes the logits");
  model.tied = IsTied(graph, output);
  std::vector<Matrix> matrices;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (static_cast<int>(n) != output) AddMatrix(graph, graph.nodes[n], &matrices);
  }
  std::map<Matrix, int64_t> count;  // every block has the same
  for (const Matrix& matrix : matrices) ++count[matrix];
  std::vector<Matrix> of_layer;
  for (const auto& [matrix, times] : count) of_layer.insert(of_layer.end(), times / model.layers, matrix);
  if (!SetFamily(of_layer, &model)) {
    std::vector<std::string> texts;
    for (const auto& [inputs, outputs] : of_layer) texts.push_back(absl::StrCat(inputs, " x ", outputs));
    return Not(
        absl::StrCat("the matrices of a layer are ", absl::StrJoin(texts, ", "), " with a width of ", model.hidden));
  }
  if (absl::Status status = CheckTransformer(model); !status.ok()) return Not(status.message());
  const double own = ParametersOf(graph), expected = Parameters(model);
  if (std::abs(own / expected - 1) > 0.01) {
    return Not(
        absl::StrCat("it has ", own, " parameters where a ", NameOf(model.family), " of this size has ", expected));
  }
  return model;
}

}  // namespace millrace
