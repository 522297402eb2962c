// The model builders: parameter counts of published models, and options that do not fit.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

int64_t Count(const proto::Model& model) {
  int64_t count = 0;
  for (const proto::Parameter& p : model.parameters()) {
    if (!p.constant()) count += TensorSpec::Of(p.type()).elements();
  }
  return count;
}

TEST(Gpt2, CountsOfTheFourSizes) {
  EXPECT_EQ(Count(MakeGpt2({}).value()), 124439808);
  EXPECT_EQ(Count(MakeGpt2({.layers = 24, .heads = 16, .width = 1024}).value()), 354823168);
  EXPECT_EQ(Count(MakeGpt2({.layers = 36, .heads = 20, .width = 1280}).value()), 774030080);
  EXPECT_EQ(Count(MakeGpt2({.layers = 48, .heads = 25, .width = 1600}).value()), 1557611200);
  EXPECT_EQ(Count(MakeGpt2({.tied = false}).value()), 124439808 + 50257 * 768);
}

TEST(Gpt2, NamesAndShapesAreHuggingFaces) {
  const proto::Model model = MakeGpt2({}).value();
  std::vector<std::string> names;
  for (const proto::Parameter& p : model.parameters()) {
    names.push_back(p.name() + " " + TensorSpec::Of(p.type()).ToString());
  }
  EXPECT_THAT(
      names, testing::IsSupersetOf({"wte.weight f32[50257,768]", "wpe.weight f32[1024,768]", "h.0.ln_1.weight f32[768]",
                                    "h.0.attn.c_attn.weight f32[768,2304]", "h.11.mlp.c_proj.weight f32[3072,768]",
                                    "h.11.mlp.c_proj.bias f32[768]", "ln_f.bias f32[768]"}));
  EXPECT_EQ(model.nodes(3).name(), "h.0.ln_1");
  EXPECT_EQ(model.logits(), "lm_head");
}

TEST(Gpt2, Options) {
  const proto::Model plain = MakeGpt2({.layers = 1, .heads = 2, .width = 8, .vocabulary = 11, .context = 8}).value();
  const proto::Model dropped =
      MakeGpt2({.layers = 1, .heads = 2, .width = 8, .vocabulary = 11, .context = 8, .dropout = 0.1}).value();
  EXPECT_EQ(dropped.nodes_size() - plain.nodes_size(), 3);
  const proto::Model no_bias =
      MakeGpt2({.layers = 1, .heads = 2, .width = 8, .vocabulary = 11, .context = 8, .bias = false}).value();
  EXPECT_EQ(Count(plain) - Count(no_bias), 3 * 8 + (24 + 8 + 32 + 8));
  EXPECT_THAT(std::string(MakeGpt2({.heads = 7}).status().message()), HasSubstr("heads"));
  EXPECT_THAT(std::string(MakeGpt2({.sequence = 2000}).status().message()), HasSubstr("sequence"));
  EXPECT_THAT(std::string(MakeGpt2({.dropout = 1.5}).status().message()), HasSubstr("dropout"));
  EXPECT_THAT(std::string(MakeGpt2({.activation = "swish"}).status().message()), HasSubstr("\"swish\""));
  EXPECT_THAT(std::string(MakeGpt2({.layers = 0}).status().message()), HasSubstr("layers"));
}

TEST(Gpt2, ASequenceMayBeShorterThanTheContext) {
  const Graph graph =
      BuildGraph(MakeGpt2({.layers = 1, .heads = 2, .width = 8, .vocabulary = 11, .context = 8, .sequence = 5}).value(),
                 3)
          .value();
  EXPECT_EQ(graph.values[graph.logits].spec, (TensorSpec{proto::F32, {3, 5, 11}}));
}

TEST(Llama, Counts) {
  EXPECT_EQ(Count(MakeLlama({}).value()), 6738415616);  // Llama 7B
  EXPECT_EQ(Count(MakeLlama({.layers = 32, .heads = 32, .kv_heads = 8, .hidden = 14336, .vocabulary = 128256}).value()),
            8030261248);  // Llama 3 8B
  EXPECT_EQ(Count(MakeLlama({.tied = true}).value()), 6738415616 - int64_t{32000} * 4096);
}

TEST(Llama, Options) {
  EXPECT_THAT(std::string(MakeLlama({.kv_heads = 5}).status().message()), HasSubstr("kv_heads"));
  EXPECT_THAT(std::string(MakeLlama({.heads = 4096}).status().message()), HasSubstr("even"));
  EXPECT_THAT(std::string(MakeLlama({.rope_theta = 0}).status().message()), HasSubstr("rope_theta"));
}

TEST(Mlp, Counts) {
  EXPECT_EQ(Count(MakeMlp({.layers = 1, .features = 4, .width = 8, .classes = 3}).value()), 4 * 8 + 8 + 8 * 3 + 3);
  EXPECT_EQ(Count(MakeMlp({.layers = 0, .features = 4, .classes = 3, .bias = false}).value()), 12);
  EXPECT_THAT(std::string(MakeMlp({.classes = 0}).status().message()), HasSubstr("classes"));
}

TEST(Builder, TheExampleOfTheHeader) {
  GraphBuilder b("tiny");
  auto tokens = b.Input("tokens", {-1, 64}, proto::I64, proto::Input::TOKENS);
  auto labels = b.Input("labels", {-1, 64}, proto::I64, proto::Input::LABELS);
  auto x = b.Gather(b.Parameter("embed", {256, 32}, Normal(0.02)), tokens);
  auto h = b.Gelu(b.Linear("up", x, 32, 128));
  auto y = b.Add(x, b.Linear("down", h, 128, 32));
  b.SoftmaxCrossEntropy(b.MatMul(y, b.Parameter("head", {32, 256}, Normal(0.02))), labels);
  const absl::StatusOr<proto::Model> model = b.Finish();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->nodes(1).name(), "up");
  EXPECT_EQ(Count(*model), 2 * 256 * 32 + 32 * 128 + 128 + 128 * 32 + 32);
}

TEST(Builder, FinishChecks) {
  GraphBuilder b("wrong");
  b.MatMul("x", "w");
  EXPECT_FALSE(b.Finish().ok());
}

}  // namespace
}  // namespace millrace
