// Replicas: every cut, schedule, sharding and bucket size trains to what one stage with as many replicas trains to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 53;

// Tied weights, on the first and the last stage.
absl::StatusOr<proto::Model> Gpt2() {
  Gpt2Options o;
  o.layers = 3;
  o.heads = 2;
  o.width = 24;
  o.vocabulary = kVocabulary;
  o.context = 17;
  o.dropout = 0.1;
  return MakeGpt2(o);
}

// One large parameter, so that shards cut through it, small ones, a frozen one, and one that is used twice.
absl::StatusOr<proto::Model> Uneven() {
  GraphBuilder b("uneven");
  const auto x = b.Input("x", {-1, 96}, proto::F32);
  const auto labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  const auto wide = b.Tanh(b.MatMul(x, b.Parameter("wide", {96, 160}, Normal(0.1))));
  const auto square = b.Parameter("square", {160, 160}, Normal(0.08));
  const auto h = b.Mul(b.Gelu(b.MatMul(wide, square)), b.Parameter("gain", {160}, Ones()));
  const auto i = b.Add(b.MatMul(b.MatMul(h, square), b.Parameter("frozen", {160, 160}, Normal(0.1), false)), h);
  b.SoftmaxCrossEntropy(b.MatMul(i, b.Parameter("head", {160, kVocabulary}, Normal(0.2))), labels);
  return b.Finish();
}

struct Layout {
  int pp = 1, dp = 1, shard = 0;
  std::string schedule = "1f1b";
  int64_t micro_batches = 4;
  int64_t bucket_bytes = 0;
  std::string sum_order = "";
  std::vector<int> stage_replicas = {};

  std::string ToString() const {
    return absl::StrCat("pp ", pp, " dp ", dp, " level ", shard, " ", schedule, " buckets ", bucket_bytes, " ",
                        sum_order, " ", absl::StrJoin(stage_replicas, "-"));
  }
};

absl::StatusOr<proto::ExecutionPlan> PlanOf(const proto::Model& model, const Layout& layout,
                                            const std::string& optimizer = "adamw") {
  const std::vector<int>& replicas = layout.stage_replicas;
  const int ranks = replicas.empty() ? layout.pp * layout.dp : std::accumulate(replicas.begin(), replicas.end(), 0);
  PartitionOptions options = OptionsFor("cpu", ranks);
  options.pp = layout.pp;
  options.stage_replicas = replicas;
  // Which stage a node is on says how many replicas add up its gradient, and a balanced cut depends on the level.
  if (!replicas.empty()) options.cut = "even";
  options.dp = layout.dp;
  options.shard_optimizer = layout.shard;
  options.bucket_bytes = layout.bucket_bytes;
  options.sum_order = layout.sum_order;
  options.micro_batch = 2;
  options.micro_batches = layout.micro_batches;
  options.schedule = layout.schedule;
  options.optimizer = optimizer;
  return PlanFor(model, options);
}

RunOptions Steps(int steps) {
  RunOptions run;
  run.steps = steps;
  run.load = RandomTokens(kVocabulary);
  return run;
}

absl::StatusOr<RunResult> Train(const proto::Model& model, const Layout& layout, int steps,
                                const std::string& optimizer = "adamw") {
  const auto plan = PlanOf(model, layout, optimizer);
  if (!plan.ok()) return plan.status();
  return RunPlan(*plan, Steps(steps));
}

// Every layout leaves the bits that the first one leaves.
void ExpectSame(const proto::Model& model, const Layout& first, const std::vector<Layout>& others, int steps) {
  const auto one = Train(model, first, steps);
  ASSERT_TRUE(one.ok()) << first.ToString() << ": " << one.status();
  EXPECT_NE(one->losses.back(), one->losses.front());
  for (const Layout& layout : others) {
    const auto other = Train(model, layout, steps);
    ASSERT_TRUE(other.ok()) << layout.ToString() << ": " << other.status();
    EXPECT_EQ(other->losses, one->losses) << layout.ToString();
    EXPECT_EQ(other->norms, one->norms) << layout.ToString();
    EXPECT_EQ(other->count, one->count) << layout.ToString();
    EXPECT_THAT(Differences(other->weights, one->weights), IsEmpty()) << layout.ToString();
    EXPECT_THAT(Differences(other->gradients, one->gradients), IsEmpty()) << layout.ToString();
  }
}

class Replicas : public testing::TestWithParam<std::string> {
 protected:
  absl::StatusOr<proto::Model> Model() const { return GetParam() == "gpt2" ? Gpt2() : Uneven(); }
};

TEST_P(Replicas, EveryLayoutOfAClassTrainsToTheSameBits) {
  const auto model = Model();
  ASSERT_TRUE(model.ok()) << model.status();
  for (const int dp : {2, 3}) {
    ExpectSame(*model, {.pp = 1, .dp = dp, .schedule = "gpipe"},
               {{.pp = 1, .dp = dp, .shard = 1},
                {.pp = 1, .dp = dp, .shard = 1, .bucket_bytes = 2048},
                {.pp = 2, .dp = dp, .shard = 0, .bucket_bytes = 1024},
                {.pp = 2, .dp = dp, .shard = 1, .schedule = "zb-h1", .bucket_bytes = 4096},
                {.pp = 2, .dp = dp, .shard = 1, .schedule = "interleaved"},
                {.pp = 3, .dp = dp, .shard = 1, .bucket_bytes = 1},
                {.pp = 3, .dp = dp, .shard = 0, .schedule = "zb-auto"}},
               20);
  }
}

// Gradients and parameters divided: the sums are over replicas first.
TEST_P(Replicas, ReplicasFirst) {
  const auto model = Model();
  ASSERT_TRUE(model.ok()) << model.status();
  for (const int dp : {2, 3}) {
    ExpectSame(*model, {.pp = 1, .dp = dp, .schedule = "gpipe", .sum_order = "replica-first"},
               {{.pp = 1, .dp = dp, .shard = 2},
                {.pp = 1, .dp = dp, .shard = 3},
                {.pp = 2, .dp = dp, .shard = 0, .sum_order = "replica-first"},
                {.pp = 2, .dp = dp, .shard = 2, .schedule = "interleaved", .bucket_bytes = 4096},
                {.pp = 2, .dp = dp, .shard = 2, .schedule = "zb-h1"},
                {.pp = 2, .dp = dp, .shard = 3},
                {.pp = 2, .dp = dp, .shard = 3, .schedule = "interleaved", .bucket_bytes = 2048},
                {.pp = 2, .dp = dp, .shard = 3, .schedule = "zb-v"},
                {.pp = 3, .dp = dp, .shard = 3, .schedule = "zb-auto"}},
               20);
  }
}

// Stages with replicas of their own: a class for each division, whatever the level.
void ExpectStageReplicas(const proto::Model& model, const std::vector<std::vector<int>>& divisions) {
  const auto one = Train(model, {.pp = 1, .micro_batches = 12}, 20);
  ASSERT_TRUE(one.ok()) << one.status();
  for (const std::vector<int>& replicas : divisions) {
    const auto layout = [&](int level, const std::string& schedule, const std::string& sum_order = "") {
      return Layout{.pp = static_cast<int>(replicas.size()),
                    .shard = level,
                    .schedule = schedule,
                    .micro_batches = 12,
                    .bucket_bytes = level == 1 ? 4096 : 0,
                    .sum_order = sum_order,
                    .stage_replicas = replicas};
    };
    ExpectSame(model, layout(0, "1f1b"), {layout(0, "gpipe"), layout(1, "1f1b"), layout(1, "gpipe")}, 20);
    ExpectSame(model, layout(0, "gpipe", "replica-first"),
               {layout(0, "1f1b", "replica-first"), layout(2, "1f1b"), layout(2, "gpipe"), layout(3, "1f1b"),
                layout(3, "gpipe")},
               20);
    for (const int level : {1, 3}) {
      const auto other = Train(model, layout(level, "1f1b"), 20);
      ASSERT_TRUE(other.ok()) << other.status();
      for (size_t s = 0; s < one->losses.size(); ++s) {
        EXPECT_NEAR(other->losses[s], one->losses[s], 1e-6 * std::abs(one->losses[s]))
            << "level " << level << ", step " << s;
      }
    }
  }
}

TEST(StageReplicas, EveryLevelTrainsToTheSameBits) {
  const auto model = Uneven();
  ASSERT_TRUE(model.ok()) << model.status();
  ExpectStageReplicas(*model, {{3, 1}, {1, 2}, {2, 1, 2}});
}

// The embedding is tied to the head, which has as many replicas, a multiple of them, or neither.
TEST(StageReplicas, TiedWeights) {
  const auto model = Gpt2();
  ASSERT_TRUE(model.ok()) << model.status();
  ExpectStageReplicas(*model, {{3, 1}, {1, 3}, {2, 3}, {4, 3}, {2, 1, 4}, {2, 1, 2}});
}

// The same samples: replica r takes the micro-batches r, r + dp, ...
TEST_P(Replicas, ClassesAgreeAtEqualGlobalBatch) {
  const auto model = Model();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto one = Train(*model, {.pp = 1, .dp = 1, .micro_batches = 12}, 20);
  ASSERT_TRUE(one.ok()) << one.status();
  for (const Layout& layout : {Layout{.pp = 1, .dp = 2, .micro_batches = 6}, Layout{.pp = 2, .dp = 3, .shard = 1},
                               Layout{.pp = 1, .dp = 4, .shard = 1, .micro_batches = 3}}) {
    const auto other = Train(*model, layout, 20);
    ASSERT_TRUE(other.ok()) << layout.ToString() << ": " << other.status();
    EXPECT_EQ(other->count, one->count) << layout.ToString();
    for (size_t s = 0; s < one->losses.size(); ++s) {
      EXPECT_NEAR(other->losses[s], one->losses[s], 1e-6 * std::abs(one->losses[s]))
          << layout.ToString() << " step " << s;
    }
  }
}

TEST_P(Replicas, SgdToo) {
  const auto model = Model();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto one = Train(*model, {.pp = 1, .dp = 2}, 10, "sgd");
  const auto other = Train(*model, {.pp = 2, .dp = 2, .shard = 1, .bucket_bytes = 4096}, 10, "sgd");
  ASSERT_TRUE(one.ok() && other.ok()) << one.status() << other.status();
  EXPECT_THAT(Differences(other->weights, one->weights), IsEmpty());
}

// Of the rank that has most.
uint64_t BytesOf(const proto::ExecutionPlan& plan, proto::Life life) {
  uint64_t most = 0;
  for (const proto::Rank& rank : plan.ranks()) {
    uint64_t bytes = 0;
    for (const proto::Region& region : rank.regions()) {
      if (region.life() == life && region.name() != "staging") bytes += region.bytes();
    }
    most = std::max(most, bytes);
  }
  return most;
}
uint64_t OptimizerBytes(const proto::ExecutionPlan& plan) { return BytesOf(plan, proto::OPTIMIZER); }

TEST(ReplicaMemory, ShardsHoldTheirShareOfTheState) {
  Gpt2Options o;
  o.layers = 4;
  o.heads = 4;
  o.width = 128;
  o.vocabulary = 512;
  o.context = 16;
  const auto model = MakeGpt2(o);
  ASSERT_TRUE(model.ok()) << model.status();
  for (const int pp : {1, 2}) {
    const auto whole = PlanOf(*model, {.pp = pp});
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (const auto& [dp, share] : {std::pair(2, 0.55), std::pair(4, 0.30)}) {
      const auto sharded = PlanOf(*model, {.pp = pp, .dp = dp, .shard = 1});
      ASSERT_TRUE(sharded.ok()) << sharded.status();
      EXPECT_LE(OptimizerBytes(*sharded), share * OptimizerBytes(*whole)) << "pp " << pp << " dp " << dp;
    }
  }
}

// Eight chunks on a rank: of gradients and weights a rank keeps its share of all and the whole of two.
TEST(ReplicaMemory, GradientsAndWeightsOfTwoChunksAreWhole) {
  Gpt2Options o;
  o.layers = 8;
  o.heads = 4;
  o.width = 128;
  o.vocabulary = 128;
  o.context = 16;
  const auto model = MakeGpt2(o);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto plan = [&](int dp, int level) {
    PartitionOptions options = OptionsFor("cpu", dp);
    options.pp = 1;
    options.dp = dp;
    options.shard_optimizer = level;
    options.micro_batches = 2;
    options.schedule = "interleaved";
    options.chunks = 8;
    options.bucket_bytes = 0;
    return PlanFor(*model, options);
  };
  const auto whole = plan(1, 0);
  ASSERT_TRUE(whole.ok()) << whole.status();
  const double gradients = BytesOf(*whole, proto::GRADIENT);
  const double weights = BytesOf(*whole, proto::PARAMETER), packed = BytesOf(*whole, proto::PACKED);
  // A chunk is an eighth, or somewhat more where the table of tokens is.
  const double two_chunks = 2.0 / 8 * 1.2;
  for (const int dp : {2, 4}) {
    for (const int level : {2, 3}) {
      const auto divided = plan(dp, level);
      ASSERT_TRUE(divided.ok()) << divided.status();
      const std::string where = absl::StrCat("dp ", dp, " level ", level);
      EXPECT_LE(BytesOf(*divided, proto::OPTIMIZER), (1.1 / dp) * OptimizerBytes(*whole)) << where;
      EXPECT_LE(BytesOf(*divided, proto::GRADIENT), (1.1 / dp + two_chunks) * gradients) << where;
      if (level < 3) continue;
      EXPECT_LE(BytesOf(*divided, proto::PARAMETER) + BytesOf(*divided, proto::PACKED),
                (1.1 / dp) * weights + two_chunks * (weights + packed))
          << where;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Replicas, testing::Values("gpt2", "uneven"),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace millrace
