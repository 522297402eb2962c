// Replicas of each stage's own number: against every pipeline there is, against 1F1B on equal ones, and where they win.
#include "partitioner/search/replica_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "absl/strings/str_cat.h"
#include "partitioner/search/estimate.h"
#include "partitioner/search/transformer_replicas.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

PaperMachine Machine(int64_t devices, int64_t in_host, double memory) {
  PaperMachine machine;
  machine.devices = devices;
  machine.devices_per_host = in_host;
  machine.device.memory_bytes = memory;
  return machine;
}

// Times grow with the micro-batch, and have a part that does not.
PaperChain Random(int pieces, uint64_t seed, int64_t micro_batch, ActivationRecompute recompute) {
  std::mt19937_64 random(seed);
  const auto draw = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); };
  const double b = static_cast<double>(micro_batch);
  PaperChain chain;
  for (int i = 0; i < pieces; ++i) {
    ChainPiece piece;
    piece.name = absl::StrCat("piece ", i);
    const double size = draw(0, 1) < 0.3 ? 10 : 1, again = recompute == ActivationRecompute::kFull ? 2 : 1;
    piece.seconds.forward = size * b * draw(1e-4, 1e-3) + 2e-5;
    piece.seconds.backward_input = again * size * b * draw(1e-4, 1e-3) + 2e-5;
    piece.seconds.backward_weight = size * b * draw(0, 1e-3);
    piece.parameters = (draw(0, 1) < 0.3 ? 50e6 : 1e6) * draw(0.5, 1);
    piece.stash_bytes = b * draw(1e7, 1e8) / (again * again * again);
    piece.moment_bytes = b * draw(0, 1e7);
    piece.entry_bytes = b * draw(0, 1e6);
    piece.send_bytes = b * draw(1e4, 1e7);
    chain.pieces.push_back(piece);
  }
  chain.tied_parameters = draw(0, 1) < 0.5 ? 1e6 : 0;
  return chain;
}

ReplicaQuestion Question(int pieces, uint64_t seed, const PaperMachine& machine, int64_t batch) {
  ReplicaQuestion q;
  q.chain = [=](int64_t micro_batch, ActivationRecompute recompute) {
    return Random(pieces, seed, micro_batch, recompute);
  };
  q.recompute = {ActivationRecompute::kNone, ActivationRecompute::kFull};
  q.machine = machine;
  q.global_batch = batch;
  return q;
}

// Every pipeline of the space, played.
double FastestOfAll(const ReplicaQuestion& q, int pieces) {
  double best = std::numeric_limits<double>::infinity();
  for (int64_t b = 1; b <= q.global_batch; ++b) {
    if (q.global_batch % b != 0) continue;
    for (ActivationRecompute recompute : q.recompute) {
      const PaperChain chain = *q.chain(b, recompute);
      ReplicatedPipeline pipeline;
      pipeline.micro_batch = b;
      pipeline.micro_batches = q.global_batch / b;
      pipeline.recompute = recompute;
      const std::function<void(int, int64_t)> extend = [&](int first, int64_t left) {
        for (int64_t d = 1; d <= std::min(left, pipeline.micro_batches); ++d) {
          pipeline.stages.push_back({first, d});
          const absl::StatusOr<ReplicatedStep> step = PlayReplicated(chain, q.machine, pipeline);
          EXPECT_EQ(step.status(), absl::OkStatus());
          if (step.ok() && step->memory_bytes <= q.machine.device.memory_bytes) {
            best = std::min(best, step->seconds.step);
          }
          for (int next = first + 1; next < pieces; ++next) extend(next, left - d);
          pipeline.stages.pop_back();
        }
      };
      extend(0, q.machine.devices);
    }
  }
  return best;
}

TEST(ReplicaSearch, EqualsTheWholeSpace) {
  int unequal = 0, nothing = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const int pieces = 2 + static_cast<int>(seed % 4), devices = 1 + static_cast<int>(seed / 4 % 5);
    const double memory = seed % 3 == 0 ? 8e9 : seed % 3 == 1 ? 1.6e9 : 0.9e9;
    const ReplicaQuestion q =
        Question(pieces, seed, Machine(devices, seed % 2 == 0 ? 2 : 8, memory), 6 + 6 * (seed % 2));
    const double best = FastestOfAll(q, pieces);
    const absl::StatusOr<ReplicaAnswer> answer = SearchReplicas(q);
    if (best == std::numeric_limits<double>::infinity()) {
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kResourceExhausted) << seed;
      EXPECT_THAT(answer.status().message(), HasSubstr("GB are missing"));
      ++nothing;
      continue;
    }
    ASSERT_EQ(answer.status(), absl::OkStatus()) << seed;
    EXPECT_TRUE(answer->proven);
    EXPECT_EQ(answer->ranked[0].step.seconds.step, best) << seed;
    const std::vector<ReplicatedStage>& stages = answer->ranked[0].pipeline.stages;
    unequal += std::any_of(stages.begin(), stages.end(),
                           [&](const ReplicatedStage& stage) { return stage.replicas != stages[0].replicas; });
    const StepSeconds& s = answer->ranked[0].step.seconds;
    EXPECT_NEAR(s.compute + s.tensor_parallel + s.bubble + s.reduction + s.optimizer, s.step, 1e-9 * s.step);
  }
  EXPECT_GT(unequal, 10);
  EXPECT_GT(nothing, 2);
}

// With equal replicas, inside one host, the same as 1F1B on each.
TEST(Replicated, EqualReplicasAreOneFOneB) {
  for (const bool tied : {true, false}) {
    Transformer model = {.layers = 6, .hidden = 1024, .heads = 8, .sequence = 512, .vocabulary = 8192};
    model.tied = tied;
    const PaperMachine machine = Machine(8, 8, 80e9);
    for (int64_t p : {1, 2, 3}) {
      for (int64_t d : {1, 2}) {
        Configuration c;
        c.pipeline = p;
        c.replicas = d;
        c.micro_batch = 2;
        c.micro_batches = 5;
        c.sharding = 1;
        WorkModel work(model, machine);
        const SimulatedStep step = *SimulateStep(c, &work);
        ReplicatedPipeline pipeline;
        pipeline.micro_batch = 2;
        pipeline.micro_batches = 5 * d;
        int first = 0;
        for (const StageWork& stage : work.WorkOf(c).stages) {
          pipeline.stages.push_back({first, d});
          first += static_cast<int>(stage.layers);
        }
        const PaperChain chain = ChainOf(model, machine, 2, 1, ActivationRecompute::kNone);
        const ReplicatedStep played = *PlayReplicated(chain, machine, pipeline);
        EXPECT_NEAR(played.seconds.step, step.seconds.step, 1e-9 * step.seconds.step) << p << " " << d;
        EXPECT_NEAR(played.seconds.bubble, step.seconds.bubble, 1e-9 * step.seconds.step);
        EXPECT_NEAR(played.seconds.reduction, step.seconds.reduction, 1e-9 * step.seconds.step);
        EXPECT_NEAR(played.memory_bytes, step.memory_bytes, 1e-6 * step.memory_bytes);
      }
    }
  }
}

// VGG-16's shape: convolutions that compute, then matrices that weigh.
PaperChain ConvolutionsThenMatrices(int64_t micro_batch) {
  const double b = static_cast<double>(micro_batch);
  PaperChain chain;
  for (int i = 0; i < 5; ++i) {
    ChainPiece piece;
    piece.name = absl::StrCat("convolution ", i);
    piece.seconds = {b * 0.9e-3, b * 0.9e-3, b * 0.9e-3, 0};
    piece.parameters = 1e6;
    piece.stash_bytes = b * 2e6;
    piece.send_bytes = piece.entry_bytes = b * (i == 4 ? 5e4 : 1e6);
    chain.pieces.push_back(piece);
  }
  ChainPiece matrices;
  matrices.name = "matrices";
  matrices.seconds = {b * 1.5e-3, b * 1.5e-3, b * 1.5e-3, 0};
  matrices.parameters = 120e6;
  matrices.stash_bytes = b * 2e5;
  chain.pieces.push_back(matrices);
  return chain;
}

ReplicaQuestion ConvolutionsOnHosts() {
  ReplicaQuestion q;
  q.chain = [](int64_t micro_batch, ActivationRecompute) { return ConvolutionsThenMatrices(micro_batch); };
  q.machine = Machine(4, 1, 16e9);
  q.machine.between_bytes_per_second = 3e9;
  q.global_batch = 64;
  return q;
}

TEST(ReplicaSearch, ThreeToOneWins) {
  const ReplicaAnswer answer = *SearchReplicas(ConvolutionsOnHosts());
  const ReplicaCandidate& best = answer.ranked[0];
  EXPECT_TRUE(answer.proven);
  EXPECT_EQ(best.pipeline.ReplicasText(), "3-1");
  EXPECT_EQ(best.pipeline.stages[1].first_piece, 5);
  double equal = std::numeric_limits<double>::infinity();
  for (const ReplicaCandidate& candidate : answer.ranked) {
    const std::string replicas = candidate.pipeline.ReplicasText();
    if (replicas == "4" || replicas == "2-2" || replicas == "1-1-1-1") {
      equal = std::min(equal, candidate.step.seconds.step);
      EXPECT_THAT(candidate.lost, HasSubstr("slower"));
    }
  }
  EXPECT_LT(best.step.seconds.step, 0.92 * equal);
  // All four alike would reduce the matrices too.
  ReplicaQuestion four = ConvolutionsOnHosts();
  four.replicas = {4};
  four.pipeline = 1;
  EXPECT_GT(SearchReplicas(four)->ranked[0].step.seconds.reduction, 2 * best.step.seconds.reduction);
}

TEST(ReplicaSearch, WhatIsFixedStays) {
  ReplicaQuestion q = ConvolutionsOnHosts();
  q.replicas = {1, 2, 1};
  q.micro_batch = 4;
  const ReplicaAnswer three = *SearchReplicas(q);
  for (const ReplicaCandidate& candidate : three.ranked) {
    EXPECT_EQ(candidate.pipeline.ReplicasText(), "1-2-1");
    EXPECT_EQ(candidate.pipeline.micro_batch, 4);
  }
  q.replicas = {2};
  q.pipeline = 2;
  EXPECT_EQ(SearchReplicas(q)->ranked[0].pipeline.ReplicasText(), "2-2");
  q.replicas.clear();
  q.pipeline = 3;
  const ReplicaAnswer any = *SearchReplicas(q);
  EXPECT_GT(any.ranked.size(), 1u);
  for (const ReplicaCandidate& candidate : any.ranked) EXPECT_EQ(candidate.pipeline.stages.size(), 3u);
}

TEST(ReplicaSearch, SameQuestionSameAnswer) {
  const ReplicaQuestion q = Question(12, 7, Machine(16, 4, 8e9), 48);
  const ReplicaAnswer answer = *SearchReplicas(q), again = *SearchReplicas(q);
  ASSERT_EQ(answer.ranked.size(), again.ranked.size());
  for (size_t i = 0; i < answer.ranked.size(); ++i) {
    EXPECT_EQ(answer.ranked[i].pipeline, again.ranked[i].pipeline);
    EXPECT_EQ(answer.ranked[i].step.seconds.step, again.ranked[i].step.seconds.step);
  }
}

TEST(ReplicaSearch, NonsenseIsNamed) {
  ReplicaQuestion q = ConvolutionsOnHosts();
  const auto message = [&] { return std::string(SearchReplicas(q).status().message()); };
  q.global_batch = 0;
  EXPECT_THAT(message(), HasSubstr("the global batch is 0"));
  q = ConvolutionsOnHosts();
  q.machine.devices = 0;
  EXPECT_THAT(message(), HasSubstr("has 0 devices"));
  q = ConvolutionsOnHosts();
  q.replicas = {3, 2};
  EXPECT_THAT(message(), HasSubstr("5 replicas of stages on 4 devices"));
  q.replicas = {1, 0};
  EXPECT_THAT(message(), HasSubstr("a stage with 0 replicas"));
  q.replicas = {1, 1};
  q.pipeline = 3;
  EXPECT_THAT(message(), HasSubstr("replicas for 2 stages, but 3 stages"));
  q = ConvolutionsOnHosts();
  q.machine.devices = 64;
  q.pipeline = 60;
  EXPECT_THAT(message(), HasSubstr("60 stages for 6 pieces"));
  q = ConvolutionsOnHosts();
  q.micro_batch = 5;
  EXPECT_THAT(message(), HasSubstr("no micro-batch of 5 samples divides a batch of 64"));
  q = ConvolutionsOnHosts();
  q.chain = [](int64_t, ActivationRecompute) {
    PaperChain chain = ConvolutionsThenMatrices(1);
    for (ChainPiece& piece : chain.pieces) piece.seconds.forward = std::numeric_limits<double>::infinity();
    return chain;
  };
  EXPECT_THAT(message(), HasSubstr("check flops_per_second"));
  q.chain = [](int64_t, ActivationRecompute) -> absl::StatusOr<PaperChain> { return absl::InvalidArgumentError("no"); };
  EXPECT_EQ(message(), "no");
}

// A transformer is even, so equal replicas are hard to beat; what is found is faster than was asked for.
TEST(TransformerReplicas, OnlyWhatIsFaster) {
  SearchQuestion q;
  q.model = {.layers = 6, .hidden = 1024, .heads = 8, .sequence = 512, .vocabulary = 51200};
  q.machine = Machine(5, 1, 80e9);
  q.machine.between_bytes_per_second = 5e9;
  q.global_batch = 24;
  const double equal = Search(q)->ranked[0].seconds();
  const ReplicaAnswer answer = *SearchReplicasOf(q, {}, equal);
  EXPECT_TRUE(answer.proven);
  for (const ReplicaCandidate& candidate : answer.ranked) EXPECT_LT(candidate.step.seconds.step, equal);
  const ReplicaAnswer asked = *SearchReplicasOf(q, {3, 2}, std::numeric_limits<double>::infinity());
  EXPECT_EQ(asked.ranked[0].pipeline.ReplicasText(), "3-2");
  q.schedule = SearchedSchedule::kZbH1;
  EXPECT_TRUE(SearchReplicasOf(q, {}, equal)->ranked.empty());
}

}  // namespace
}  // namespace millrace
