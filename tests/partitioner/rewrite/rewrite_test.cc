// What each rewrite makes of small graphs, by operator counts and single nodes.
#include "partitioner/rewrite/rewrite.h"

#include <map>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/op_rules.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using Histogram = std::map<std::string, int>;

Graph Rewritten(const proto::Model& model, Mode mode = Mode::kTrain) {
  return Rewrite(BuildGraph(model, 3).value(), mode).value();
}

Histogram Count(const Graph& graph) {
  Histogram counts;
  for (const GraphNode& node : graph.nodes) ++counts[node.op];
  return counts;
}

const GraphNode& Find(const Graph& graph, const std::string& name) {
  for (const GraphNode& node : graph.nodes) {
    if (node.name == name) return node;
  }
  ADD_FAILURE() << "no node " << name << " in\n" << graph.ToString();
  return graph.nodes[0];
}

std::vector<std::string> InputNames(const Graph& graph, const GraphNode& node) {
  std::vector<std::string> names;
  for (int v : node.inputs) names.push_back(v < 0 ? "-" : graph.values[v].name);
  return names;
}

TEST(Rewrite, Gpt2) {
  const Graph graph = Rewritten(TinyGpt2());
  EXPECT_EQ(Count(graph), (Histogram{{"Gather", 2},
                                     {"Add", 1},
                                     {"Fork", 4},
                                     {"LayerNormalization", 5},
                                     {"FusedMatMul", 8},
                                     {"Attention", 2},
                                     {"LinearCrossEntropy", 1}}));
  const GraphNode& qkv = Find(graph, "h.0.attn.c_attn");
  EXPECT_THAT(InputNames(graph, qkv), ElementsAre("h.0.ln_1", "h.0.attn.c_attn.weight", "h.0.attn.c_attn.bias"));
  EXPECT_EQ(qkv.attributes.ToString(), "packed=1");
  EXPECT_EQ(Find(graph, "h.0.mlp.c_fc").attributes.String("activation", ""), "GeluTanh");
  const GraphNode& out = Find(graph, "h.0.mlp.c_proj");
  ASSERT_EQ(out.inputs.size(), 4);
  EXPECT_EQ(graph.values[out.inputs[3]].name, "h.0.attn.residual/fork0.1");
  const GraphNode& loss = Find(graph, "lm_head");
  EXPECT_EQ(loss.op, "LinearCrossEntropy");
  EXPECT_THAT(InputNames(graph, loss), ElementsAre("ln_f", "wte.weight", "labels"));
  EXPECT_EQ(loss.attributes.Int("transB", -1), 1);
  EXPECT_EQ(Find(graph, "h.1.attn").inputs.size(), 1);  // packed
  EXPECT_EQ(graph.logits, -1);
}

TEST(Rewrite, Llama) {
  const Graph graph = Rewritten(TinyLlama());
  EXPECT_EQ(Count(graph), (Histogram{{"Gather", 1},
                                     {"Fork", 2 * 5},
                                     {"RMSNormalization", 5},
                                     {"FusedMatMul", 14},
                                     {"RotaryEmbedding", 4},
                                     {"Attention", 2},
                                     {"Mul", 2},
                                     {"LinearCrossEntropy", 1}}));
  EXPECT_EQ(Find(graph, "model.layers.0.mlp.gate_proj").attributes.ToString(), "activation=Silu,packed=1,transB=1");
}

TEST(Rewrite, DropoutStandsBetweenInTrainingOnly) {
  EXPECT_EQ(Count(Rewritten(TinyGpt2(0.1)))["Dropout"], 5);
  EXPECT_EQ(Count(Rewritten(TinyGpt2(0.1)))["Add"], 5);  // a residual behind a Dropout stays
  EXPECT_EQ(Count(Rewritten(TinyGpt2(0.1), Mode::kEval)), Count(Rewritten(TinyGpt2(), Mode::kEval)));
}

TEST(Rewrite, EvalHasNoForksAndNoGradients) {
  const Graph graph = Rewritten(TinyGpt2(), Mode::kEval);
  EXPECT_EQ(Count(graph)["Fork"], 0);
  EXPECT_EQ(Find(graph, "lm_head").outputs.size(), 2);
  EXPECT_EQ(Find(graph, "h.0.attn.c_attn").attributes.Int("packed", 0), 1);
}

TEST(Rewrite, LogitsNeedNoLabelsAndPackNothing) {
  const Graph train = Rewritten(TinyGpt2()), graph = Rewritten(TinyGpt2(0.1), Mode::kLogits);
  EXPECT_EQ(graph.loss, -1);
  EXPECT_EQ(graph.count, -1);
  ASSERT_GE(graph.logits, 0);
  EXPECT_EQ(graph.values[graph.logits].name, "lm_head");
  ASSERT_EQ(graph.inputs.size(), 1);
  EXPECT_EQ(graph.model_inputs[0].name(), "tokens");
  EXPECT_EQ(Find(graph, "lm_head").op, "FusedMatMul");
  for (const GraphNode& node : graph.nodes) EXPECT_EQ(node.attributes.Int("packed", 0), 0) << node.name;
  ASSERT_EQ(graph.parameters.size(), train.parameters.size());
  for (size_t i = 0; i < graph.parameters.size(); ++i) EXPECT_EQ(graph.parameters[i].name, train.parameters[i].name);
}

TEST(Rewrite, LogitsMustBeNamed) {
  proto::Model model = TinyGpt2();
  model.clear_logits();
  EXPECT_EQ(Rewrite(BuildGraph(model, 1).value(), Mode::kLogits).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Rewrite, ForksServeReadersInOrderAndShareTheirUnits) {
  const Graph graph = Rewritten(SkipNet());
  int forks = 0;
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    const GraphNode& node = graph.nodes[n];
    for (int v : node.outputs) {
      const GraphValue& value = graph.values[v];
      EXPECT_LE(value.consumers.size(), 1) << value.name;
      if (node.op != "Fork") continue;
      EXPECT_EQ(graph.Root(v), graph.Root(node.inputs[0]));
    }
    if (node.op == "Fork") {
      ++forks;
      const int reader = graph.values[node.outputs[0]].consumers[0];
      EXPECT_EQ(graph.nodes[reader].unit, node.unit);
      for (int between = n + 1; between < reader; ++between) EXPECT_EQ(graph.nodes[between].op, "Fork");
    }
    if (n > 0) {
      EXPECT_TRUE(node.unit == n || node.unit == graph.nodes[n - 1].unit);
    }
  }
  EXPECT_EQ(forks, 3 + 1 + 2 + 1);  // x 4 readers, a 2, d 3, e twice by one node
}

TEST(Rewrite, ReshapedScoresAndLabelsStillJoin) {
  GraphBuilder b("reshaped");
  const std::string tokens = b.Input("tokens", {-1, 4}, proto::I64), labels = b.Input("labels", {-1, 4}, proto::I64);
  const std::string x = b.Gather(b.Parameter("table", {9, 6}, Normal(1)), tokens);
  const std::string scores = b.Named("head").MatMul(x, b.Parameter("w", {6, 9}, Normal(1)));
  b.SoftmaxCrossEntropy(b.Reshape(scores, {-1, 9}), b.Reshape(labels, {-1}));
  const Graph graph = Rewritten(b.Finish().value());
  EXPECT_EQ(Count(graph), (Histogram{{"Gather", 1}, {"LinearCrossEntropy", 1}}));
  EXPECT_EQ(Find(graph, "head").attributes.Int("transB", -1), 0);
}

TEST(Rewrite, FlatLabelsAreReshaped) {
  GraphBuilder b("flat");
  const std::string tokens = b.Input("tokens", {-1, 1}, proto::I64), labels = b.Input("labels", {-1}, proto::I64);
  const std::string x = b.Gather(b.Parameter("table", {9, 6}, Normal(1)), tokens);
  const std::string scores = b.Named("head").MatMul(x, b.Parameter("w", {6, 9}, Normal(1)));
  b.SoftmaxCrossEntropy(b.Reshape(scores, {-1, 9}), labels);
  const Graph graph = Rewritten(b.Finish().value());
  EXPECT_EQ(Count(graph), (Histogram{{"Gather", 1}, {"Reshape", 1}, {"LinearCrossEntropy", 1}}));
  EXPECT_THAT(InputNames(graph, Find(graph, "head")), ElementsAre("gather_0", "w", "head/labels"));
}

TEST(Rewrite, BiasOfTheOutputMatrixKeepsTheLossApart) {
  const Graph graph = Rewritten(SkipNet());
  EXPECT_EQ(Count(graph)["SoftmaxCrossEntropyLoss"], 1);
  EXPECT_EQ(Find(graph, "head").inputs.size(), 3);
}

TEST(Rewrite, EveryCallIsOneThatKernelsAccept) {
  for (const NamedModel& test : AllTestModels()) {
    for (Mode mode : {Mode::kTrain, Mode::kEval}) {
      const Graph graph = Rewritten(test.model, mode);
      for (const GraphNode& node : graph.nodes) {
        const absl::Status status = CheckOp(graph.Desc(node));
        EXPECT_TRUE(status.ok()) << test.name << " " << node.name << ": " << status;
      }
    }
  }
}

TEST(Rewrite, NamesStayUnique) {
  for (const NamedModel& test : AllTestModels()) {
    const Graph graph = Rewritten(test.model);
    std::set<std::string> values, nodes;
    for (const GraphValue& v : graph.values) EXPECT_TRUE(values.insert(v.name).second) << v.name;
    for (const GraphNode& n : graph.nodes) EXPECT_TRUE(nodes.insert(n.name).second) << n.name;
  }
}

}  // namespace
}  // namespace millrace
