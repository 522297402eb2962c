// Which graphs are GPTs.
#include "partitioner/search/recognise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/graph/build_graph.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Transformer> Recognised(const absl::StatusOr<proto::Model>& model) {
  EXPECT_EQ(model.status(), absl::OkStatus());
  return RecogniseTransformer(*BuildGraph(*model, 1));
}

Gpt2Options Size(int64_t layers, int64_t heads, int64_t width, int64_t vocabulary, int64_t context) {
  Gpt2Options options;
  options.layers = layers;
  options.heads = heads;
  options.width = width;
  options.vocabulary = vocabulary;
  options.context = context;
  return options;
}

TEST(Recognise, OneTrillion) {
  const absl::StatusOr<Transformer> model = Recognised(MakeGpt2(Size(128, 160, 25600, 51200, 2048)));
  ASSERT_EQ(model.status(), absl::OkStatus());
  EXPECT_EQ(model->layers, 128);
  EXPECT_EQ(model->heads, 160);
  EXPECT_EQ(model->hidden, 25600);
  EXPECT_EQ(model->sequence, 2048);
  EXPECT_EQ(model->vocabulary, 51200);
}

TEST(Recognise, SmallOnes) {
  EXPECT_EQ(Recognised(MakeGpt2(Gpt2Options())).status(), absl::OkStatus());
  EXPECT_EQ(Recognised(MakeGpt2(Size(1, 2, 64, 256, 32))).status(), absl::OkStatus());
  Gpt2Options dropout = Size(3, 2, 64, 256, 32);
  dropout.dropout = 0.1;  // every node has a random key of its own
  EXPECT_EQ(Recognised(MakeGpt2(dropout)).status(), absl::OkStatus());
}

LlamaOptions Llama(int64_t heads, int64_t kv_heads) {
  LlamaOptions options;
  options.layers = 3;
  options.heads = heads;
  options.kv_heads = kv_heads;
  options.width = 64;
  options.hidden = 176;
  options.vocabulary = 512;
  options.context = 32;
  return options;
}

TEST(Recognise, Llamas) {
  const absl::StatusOr<Transformer> seven = Recognised(MakeLlama(LlamaOptions()));
  ASSERT_EQ(seven.status(), absl::OkStatus());
  EXPECT_EQ(seven->family, TransformerFamily::kLlama);
  EXPECT_EQ(seven->layers, 32);
  EXPECT_EQ(seven->mlp, 11008);
  EXPECT_FALSE(seven->tied);
  EXPECT_EQ(Parameters(*seven), 6738415616);  // as published: 6.7 billion
  const absl::StatusOr<Transformer> grouped = Recognised(MakeLlama(Llama(8, 2)));
  ASSERT_EQ(grouped.status(), absl::OkStatus());
  EXPECT_EQ(grouped->key_value_heads, 2);
  EXPECT_EQ(grouped->key_width(), 16);
  LlamaOptions tied = Llama(4, 4);
  tied.tied = true;
  EXPECT_TRUE(Recognised(MakeLlama(tied))->tied);
  LlamaOptions one = Llama(4, 1);
  one.layers = 1;
  EXPECT_EQ(Recognised(MakeLlama(one)).status(), absl::OkStatus());
}

TEST(Recognise, AnOutputMatrixOfItsOwn) {
  Gpt2Options untied = Size(3, 2, 64, 4096, 32);
  untied.tied = false;
  const absl::StatusOr<Transformer> model = Recognised(MakeGpt2(untied));
  ASSERT_EQ(model.status(), absl::OkStatus());
  EXPECT_FALSE(model->tied);
  EXPECT_TRUE(Recognised(MakeGpt2(Size(3, 2, 64, 4096, 32)))->tied);
}

TEST(Recognise, OthersAreToldApart) {
  EXPECT_THAT(Recognised(MakeMlp(MlpOptions())).status().message(), HasSubstr("there is no Attention"));
  Gpt2Options wide = Size(3, 2, 64, 256, 32);
  wide.hidden = 128;
  EXPECT_THAT(Recognised(MakeGpt2(wide)).status().message(), HasSubstr("64 x 128"));
}

}  // namespace
}  // namespace millrace
