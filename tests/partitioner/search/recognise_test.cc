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

TEST(Recognise, OthersAreToldApart) {
  EXPECT_THAT(Recognised(MakeMlp(MlpOptions())).status().message(), HasSubstr("there is no Attention"));
  EXPECT_FALSE(Recognised(MakeLlama(LlamaOptions())).ok());
  Gpt2Options wide = Size(3, 2, 64, 256, 32);
  wide.hidden = 128;
  EXPECT_THAT(Recognised(MakeGpt2(wide)).status().message(), HasSubstr("64 x 128"));
  Gpt2Options untied = Size(3, 2, 64, 4096, 32);
  untied.tied = false;
  EXPECT_THAT(Recognised(MakeGpt2(untied)).status().message(), HasSubstr("parameters where a GPT of this size has"));
}

}  // namespace
}  // namespace millrace
