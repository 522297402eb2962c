// Graphs as chains on paper: nothing of a graph is lost or counted twice.
#include "partitioner/search/graph_chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/mlp.h"
#include "partitioner/search/replica_search.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

double Total(const PaperChain& chain) {
  double seconds = 0;
  for (const ChainPiece& piece : chain.pieces) {
    seconds += piece.seconds.forward + piece.seconds.backward_input + piece.seconds.backward_weight;
  }
  return seconds;
}

TEST(GraphChain, Mlp) {
  MlpOptions options;
  options.layers = 3;
  options.features = options.width = 256;
  options.classes = 16;
  const proto::Model model = *MakeMlp(options);
  const PaperDevice device;
  const PaperChain chain = *ChainOf(model, device, 8, ActivationRecompute::kNone);
  double parameters = 0;
  for (const ChainPiece& piece : chain.pieces) parameters += piece.parameters;
  EXPECT_EQ(parameters, 3 * (256 * 256 + 256) + 256 * 16 + 16);
  // Between two hidden layers goes one activation.
  EXPECT_EQ(chain.pieces[0].send_bytes, 2 * 8 * 256);
  EXPECT_EQ(chain.pieces.back().send_bytes, 0);
  // Full recomputation: F again, and of a stage only what it received is kept.
  const PaperChain again = *ChainOf(model, device, 8, ActivationRecompute::kFull);
  double forward = 0;
  for (const ChainPiece& piece : chain.pieces) forward += piece.seconds.forward;
  EXPECT_NEAR(Total(again), Total(chain) + forward, 1e-12);
  for (size_t u = 0; u < again.pieces.size(); ++u) {
    EXPECT_EQ(again.pieces[u].stash_bytes, 0);
    EXPECT_EQ(again.pieces[u].entry_bytes, u == 0 ? 0 : chain.pieces[u - 1].send_bytes);
  }
  EXPECT_THAT(ChainOf(model, device, 8, ActivationRecompute::kSelective).status().message(),
              HasSubstr("transformers only"));
}

TEST(GraphChain, MoreSamplesTakeLonger) {
  Gpt2Options options;
  options.layers = 2;
  options.heads = 2;
  options.width = 64;
  options.vocabulary = 256;
  options.context = 32;
  const proto::Model model = *MakeGpt2(options);
  PaperDevice device;
  device.kernel_seconds = 0;
  const double one = Total(*ChainOf(model, device, 1, ActivationRecompute::kNone));
  const double four = Total(*ChainOf(model, device, 4, ActivationRecompute::kNone));
  EXPECT_GT(four, one);
  EXPECT_LT(four, 4 * one);  // weights are read once
}

// A front that reads its weights at many places, as a convolution does, and a large matrix at the end.
proto::Model FrontAndMatrix() {
  GraphBuilder b("front");
  const std::string x = b.Input("x", {-1, 4096, 256}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  std::string y = x;
  for (int i = 0; i < 8; ++i) {
    y = b.Linear("front." + std::to_string(i), y, 256, i == 7 ? 4 : 256);
    if (i < 7) y = b.Relu(y);
  }
  y = b.Reshape(y, {-1, 4096 * 4});
  y = b.Relu(b.Linear("wide", y, 4096 * 4, 8192));
  const std::string scores = b.Linear("head", y, 8192, 1000);
  b.Logits(scores);
  b.SoftmaxCrossEntropy(scores, labels);
  return *b.Finish();
}

TEST(GraphChain, AnUnbalancedGraphGetsUnequalReplicas) {
  const proto::Model model = FrontAndMatrix();
  ReplicaQuestion q;
  q.machine.devices = 4;
  q.machine.devices_per_host = 1;
  q.chain = [&](int64_t micro_batch, ActivationRecompute recompute) {
    return ChainOf(model, q.machine.device, micro_batch, recompute);
  };
  q.global_batch = 1024;
  const absl::StatusOr<ReplicaAnswer> answer = SearchReplicas(q);
  ASSERT_EQ(answer.status(), absl::OkStatus());
  const ReplicaCandidate& best = answer->ranked[0];
  EXPECT_EQ(best.pipeline.ReplicasText(), "3-1");
  EXPECT_THAT(best.step.stages[1].first, HasSubstr("reshape"));
}

}  // namespace
}  // namespace millrace
