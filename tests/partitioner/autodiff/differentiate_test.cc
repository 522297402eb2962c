// The shape of differentiated graphs: phases, accumulators, order, what is not made.
#include "partitioner/autodiff/differentiate.h"

#include <map>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/op_rules.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/builder.h"
#include "partitioner/rewrite/rewrite.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Graph Differentiated(const proto::Model& model, bool rewrite = true) {
  Graph graph = BuildGraph(model, 3).value();
  if (rewrite) graph = Rewrite(graph, Mode::kTrain).value();
  return Differentiate(graph).value();
}

std::vector<std::string> Accumulators(const Graph& graph, const std::string& parameter) {
  std::vector<std::string> names;
  for (const GraphParameter& p : graph.parameters) {
    if (p.name != parameter) continue;
    for (int v : p.accumulators) names.push_back(graph.values[v].name);
  }
  return names;
}

int FindNode(const Graph& graph, const std::string& name) {
  for (int n = 0; n < static_cast<int>(graph.nodes.size()); ++n) {
    if (graph.nodes[n].name == name) return n;
  }
  return -1;
}

TEST(Differentiate, TiedWeightsHaveOneAccumulatorPerPlaceInGraphOrder) {
  const Graph graph = Differentiated(TinyGpt2());
  EXPECT_THAT(Accumulators(graph, "wte.weight"), ElementsAre("grad/wte.weight@wte", "grad/wte.weight@lm_head"));
  EXPECT_THAT(Accumulators(graph, "wpe.weight"), ElementsAre("grad/wpe.weight@wpe"));
  EXPECT_THAT(Accumulators(graph, "h.0.attn.c_attn.bias"), ElementsAre("grad/h.0.attn.c_attn.bias@h.0.attn.c_attn"));
  EXPECT_THAT(Accumulators(graph, "positions"), ElementsAre());
}

TEST(Differentiate, TheLossMakesItsGradientsInForward) {
  const Graph graph = Differentiated(TinyGpt2());
  const GraphNode& loss = graph.nodes[FindNode(graph, "lm_head")];
  EXPECT_EQ(loss.phase, proto::F);
  ASSERT_EQ(loss.outputs.size(), 4);
  EXPECT_EQ(graph.values[loss.outputs[2]].name, "d/ln_f");
  EXPECT_EQ(graph.values[loss.outputs[3]].name, "grad/wte.weight@lm_head");
  for (const GraphNode& node : graph.nodes) EXPECT_NE(node.op, "SoftmaxCrossEntropyLossGrad");
}

TEST(Differentiate, PhasesOfGpt2) {
  const Graph graph = Differentiated(TinyGpt2());
  std::map<std::string, std::set<proto::Phase>> phases;
  for (const GraphNode& node : graph.nodes) {
    if (node.phase != proto::F) phases[node.op].insert(node.phase);
  }
  EXPECT_THAT(phases["MatMulWeightGrad"], ElementsAre(proto::W));
  EXPECT_THAT(phases["GatherGrad"], ElementsAre(proto::W));
  EXPECT_THAT(phases["FusedMatMul"], ElementsAre(proto::B));
  EXPECT_THAT(phases["LayerNormalizationGrad"], ElementsAre(proto::B));
  EXPECT_THAT(phases["AttentionGrad"], ElementsAre(proto::B));
  EXPECT_THAT(phases["GeluGrad"], ElementsAre(proto::B));
  EXPECT_EQ(phases.size(), 7 + 1);  // and Add (forks), ReduceSumTo (positions)
}

TEST(Differentiate, BackwardRunsInReverseAndReadsOnlyWhatIsThere) {
  for (const NamedModel& test : AllTestModels()) {
    for (bool rewrite : {false, true}) {
      const Graph graph = Differentiated(test.model, rewrite);
      std::vector<bool> made(graph.values.size(), false);
      for (size_t v = 0; v < made.size(); ++v) {
        const auto kind = graph.values[v].kind;
        made[v] = kind == GraphValue::Kind::kInput || kind == GraphValue::Kind::kParameter;
      }
      int last_forward = graph.nodes.size();
      for (const GraphNode& node : graph.nodes) {
        for (int v : node.inputs) EXPECT_TRUE(v < 0 || made[v]) << test.name << " " << node.name;
        for (int v : node.outputs) {
          if (v >= 0) made[v] = true;
        }
        if (node.phase == proto::F) continue;
        EXPECT_LE(node.forward_node, last_forward) << node.name;
        last_forward = node.forward_node;
        EXPECT_EQ(node.unit, graph.nodes[node.forward_node].unit);
      }
    }
  }
}

TEST(Differentiate, WNodesFeedNoOtherForwardNodesGradient) {
  for (const NamedModel& test : AllTestModels()) {
    const Graph graph = Differentiated(test.model);
    for (const GraphNode& node : graph.nodes) {
      if (node.phase != proto::W) continue;
      for (int v : node.outputs) {
        if (v < 0) continue;
        for (int reader : graph.values[v].consumers) {
          EXPECT_EQ(graph.nodes[reader].phase, proto::W) << node.name;
          EXPECT_EQ(graph.nodes[reader].forward_node, node.forward_node) << node.name;
        }
      }
    }
  }
}

TEST(Differentiate, EveryCallIsOneThatKernelsAccept) {
  for (const NamedModel& test : AllTestModels()) {
    for (bool rewrite : {false, true}) {
      const Graph graph = Differentiated(test.model, rewrite);
      std::set<std::string> values, nodes;
      for (const GraphNode& node : graph.nodes) {
        const absl::Status status = CheckOp(graph.Desc(node));
        EXPECT_TRUE(status.ok()) << test.name << " " << node.name << ": " << status;
        EXPECT_TRUE(nodes.insert(node.name).second) << node.name;
      }
      for (const GraphValue& v : graph.values) EXPECT_TRUE(values.insert(v.name).second) << v.name;
    }
  }
}

TEST(Differentiate, AccumulatorsHaveOneWriterAndEveryTrainableParameterOne) {
  for (const NamedModel& test : AllTestModels()) {
    const Graph graph = Differentiated(test.model);
    std::map<int, int> writers;
    for (const GraphNode& node : graph.nodes) {
      for (int v : node.outputs) {
        if (v >= 0) ++writers[v];
      }
    }
    for (const GraphParameter& p : graph.parameters) {
      EXPECT_EQ(p.accumulators.empty(), !p.trainable) << test.name << " " << p.name;
      for (int v : p.accumulators) {
        EXPECT_EQ(writers[v], 1);
        EXPECT_EQ(graph.values[v].kind, GraphValue::Kind::kAccumulator);
        EXPECT_EQ(graph.values[v].spec.dims, p.spec.dims);
      }
    }
  }
}

TEST(Differentiate, NothingBelowTheLowestTrainableParameter) {
  const Graph graph = Differentiated(PartlyFrozen());
  for (const GraphNode& node : graph.nodes) {
    if (node.phase == proto::F) continue;
    const std::string& forward = graph.nodes[node.forward_node].name;
    EXPECT_NE(forward, "gather");
    EXPECT_THAT(forward, testing::Not(testing::StartsWith("layernormalization_1")));
  }
  // The lowest matrix multiplication gives no input gradient: all its backward nodes can be delayed.
  int of_lowest = 0;
  for (const GraphNode& node : graph.nodes) {
    if (node.phase == proto::F || graph.nodes[node.forward_node].name != "lowest") continue;
    ++of_lowest;
    EXPECT_EQ(node.phase, proto::W) << node.name;
  }
  EXPECT_EQ(of_lowest, 2);  // GeluGrad, MatMulWeightGrad
  // A frozen matrix with a trainable bias: the bias alone.
  EXPECT_THAT(Accumulators(graph, "shift").size(), 1);
  EXPECT_THAT(Accumulators(graph, "middle").size(), 0);
  const GraphNode& loss = graph.nodes[graph.values[graph.loss].producer];
  ASSERT_EQ(loss.op, "LinearCrossEntropy");
  EXPECT_EQ(loss.outputs.size(), 3);  // dX, no dWeight
}

TEST(Differentiate, ActivationsBeforeReluAreNotKept) {
  GraphBuilder b("relu");
  const std::string x = b.Input("x", {-1, 4}, proto::F32), labels = b.Input("labels", {-1}, proto::I64);
  b.SoftmaxCrossEntropy(b.Linear("head", b.Relu(b.Linear("up", x, 4, 8)), 8, 3), labels);
  const Graph graph = Differentiated(b.Finish().value());
  EXPECT_EQ(graph.nodes[FindNode(graph, "up")].outputs.size(), 1);
  const Graph gelu = Differentiated(TinyGpt2());
  EXPECT_EQ(gelu.nodes[FindNode(gelu, "h.0.mlp.c_fc")].outputs.size(), 2);
}

TEST(Differentiate, RefusesAParameterThatNeverReachesTheLoss) {
  GraphBuilder b("apart");
  const std::string x = b.Input("x", {-1, 4}, proto::F32), labels = b.Input("labels", {-1}, proto::I64);
  b.SoftmaxCrossEntropy(b.Linear("head", x, 4, 3), labels);
  b.Linear("apart", x, 4, 2);
  const auto graph = Differentiate(Rewrite(BuildGraph(b.Finish().value(), 1).value(), Mode::kTrain).value());
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("\"apart.weight\""));
}

TEST(Differentiate, RefusesTrainableRotaryTables) {
  proto::Model model = TinyLlama();
  for (proto::Parameter& p : *model.mutable_parameters()) p.set_constant(false);
  const auto graph = Differentiate(Rewrite(BuildGraph(model, 1).value(), Mode::kTrain).value());
  EXPECT_THAT(std::string(graph.status().message()), HasSubstr("rotary"));
}

TEST(Differentiate, NeedsALoss) {
  const Graph graph = Rewrite(BuildGraph(TinyGpt2(), 1).value(), Mode::kLogits).value();
  EXPECT_EQ(Differentiate(graph).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace
