// Parameters in 16 bits: cuts, replicas and sharding leave the same bits, the float32 masters keep what rounding would
// lose, and the loss is that of float32 within the rounding. On the reference backend, which knows these types all over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 31;

absl::StatusOr<proto::Model> ModelOf(const std::string& family, DType dtype) {
  if (family == "llama") {
    LlamaOptions o;
    o.layers = 2;
    o.heads = 2;
    o.kv_heads = 1;
    o.width = 16;
    o.hidden = 24;
    o.vocabulary = kVocabulary;
    o.context = 9;
    o.dtype = dtype;
    return MakeLlama(o);
  }
  Gpt2Options o;
  o.layers = 2;
  o.heads = 2;
  o.width = 16;
  o.vocabulary = kVocabulary;
  o.context = 9;
  o.dropout = 0.1;
  o.dtype = dtype;
  return MakeGpt2(o);
}

struct Layout {
  int pp = 1, dp = 1, shard = 0;
  std::string schedule = "1f1b", optimizer = "adamw";
};

absl::StatusOr<RunResult> Train(const std::string& family, DType dtype, const Layout& layout, RunOptions run) {
  const auto model = ModelOf(family, dtype);
  if (!model.ok()) return model.status();
  PartitionOptions options = OptionsFor("reference", layout.pp * layout.dp);
  options.pp = layout.pp;
  options.dp = layout.dp;
  options.shard_optimizer = layout.shard;
  options.schedule = layout.schedule;
  options.optimizer = layout.optimizer;
  options.micro_batches = 3;
  const auto plan = PlanFor(*model, options);
  if (!plan.ok()) return plan.status();
  run.device = "reference";
  run.load = RandomTokens(kVocabulary);
  return RunPlan(*plan, run);
}

class Half : public testing::TestWithParam<std::tuple<std::string, DType>> {
 protected:
  const std::string& family() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }

  void ExpectSame(const Layout& first, const std::vector<Layout>& others) {
    RunOptions run;
    run.steps = 3;
    const auto one = Train(family(), dtype(), first, run);
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_EQ(one->masters.size(), one->weights.size());
    for (const Layout& layout : others) {
      const auto other = Train(family(), dtype(), layout, run);
      ASSERT_TRUE(other.ok()) << other.status();
      const std::string what = absl::StrCat("pp ", layout.pp, " dp ", layout.dp, " level ", layout.shard);
      EXPECT_EQ(other->losses, one->losses) << what;
      EXPECT_THAT(Differences(other->weights, one->weights), IsEmpty()) << what;
      EXPECT_THAT(Differences(other->masters, one->masters), IsEmpty()) << what;
    }
  }
};

TEST_P(Half, CutsLeaveTheSameBits) {
  ExpectSame({}, {{.pp = 2}, {.pp = 3, .schedule = "zb-h1"}});
  ExpectSame({.optimizer = "sgd"}, {{.pp = 2, .schedule = "gpipe", .optimizer = "sgd"}});
}

TEST_P(Half, ReplicasDivideMastersAsTheyDivideTheRest) {
  ExpectSame({.dp = 2}, {{.dp = 2, .shard = 1}, {.pp = 2, .dp = 2, .shard = 1}});
  ExpectSame({.dp = 2, .shard = 2}, {{.dp = 2, .shard = 3}, {.pp = 2, .dp = 2, .shard = 3}});
}

// The weight is the rounded master after every step.
TEST_P(Half, WeightsAreRoundedMasters) {
  RunOptions run;
  run.steps = 2;
  const auto result = Train(family(), dtype(), {}, run);
  ASSERT_TRUE(result.ok()) << result.status();
  int lost = 0;  // masters that are no numbers of the type
  for (const auto& [name, master] : result->masters) {
    const std::vector<float>& weight = result->weights.at(name);
    for (size_t i = 0; i < master.size(); ++i) {
      const float rounded = dtype() == proto::BF16 ? static_cast<float>(BFloat16(master[i]))
                                                   : static_cast<float>(static_cast<_Float16>(master[i]));
      ASSERT_EQ(weight[i], rounded) << name << " " << i;
      lost += rounded != master[i];
    }
  }
  EXPECT_GT(lost, 1000);
}

// Steps of half a unit in the last place and less add up.
TEST_P(Half, SmallStepsAreNotLost) {
  RunOptions run;
  run.learning_rate = 1e-5;
  run.weight_decay = 0;
  run.steps = 1;
  const auto early = Train(family(), dtype(), {}, run);
  run.steps = 6;
  const auto late = Train(family(), dtype(), {}, run);
  ASSERT_TRUE(early.ok() && late.ok()) << early.status() << late.status();
  for (const auto& [name, master] : late->masters) {
    double moved = 0;
    for (size_t i = 0; i < master.size(); ++i) moved += std::abs(master[i] - early->masters.at(name)[i]);
    // Adam moves an element by up to the learning rate; some have no gradient.
    EXPECT_GT(moved / static_cast<double>(master.size()), 1e-6) << name;
  }
}

TEST_P(Half, LossIsThatOfFloat32WithinTheRounding) {
  RunOptions run;
  run.steps = 8;
  const auto half = Train(family(), dtype(), {}, run), full = Train(family(), proto::F32, {}, run);
  ASSERT_TRUE(half.ok() && full.ok()) << half.status() << full.status();
  EXPECT_TRUE(full->masters.empty());
  for (size_t step = 0; step < full->losses.size(); ++step) {
    EXPECT_NEAR(half->losses[step], full->losses[step], 0.01 * full->losses[step]) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Half,
                         testing::Combine(testing::Values("gpt2", "llama"), testing::Values(proto::BF16, proto::F16)),
                         [](const auto& test) {
                           return absl::StrCat(std::get<0>(test.param), "_", Name(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace millrace
