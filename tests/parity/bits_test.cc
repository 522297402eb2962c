// Every cut, schedule and thread count trains to exactly what one stage trains to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 53;

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

absl::StatusOr<proto::Model> Llama(bool tied) {
  LlamaOptions o;
  o.layers = 3;
  o.heads = 4;
  o.kv_heads = 2;
  o.width = 32;
  o.hidden = 40;
  o.vocabulary = kVocabulary;
  o.context = 13;
  o.tied = tied;
  return MakeLlama(o);
}

// Edges that skip stages, a value with three consumers in different stages, a weight used in three places, a frozen
// one.
absl::StatusOr<proto::Model> Skips() {
  GraphBuilder b("skips");
  const auto tokens = b.Input("tokens", {-1, 11}, proto::I64, proto::Input::TOKENS);
  const auto labels = b.Input("labels", {-1, 11}, proto::I64, proto::Input::LABELS);
  const auto shared = b.Parameter("shared", {16, 16}, Normal(0.2));
  const auto gain = b.Parameter("gain", {16}, Uniform(0.5, 1.0));
  const auto frozen = b.Parameter("frozen", {16, 16}, Normal(0.2), /*trainable=*/false);
  const auto x = b.Gather(b.Parameter("embed", {kVocabulary, 16}, Normal(0.5)), tokens);
  const auto h1 = b.Tanh(b.MatMul(x, shared));
  const auto h2 = b.Add(b.Gelu(b.MatMul(h1, frozen)), x);
  const auto h3 = b.Mul(b.Silu(b.MatMul(h2, shared)), gain);
  const auto h4 = b.Add(b.MatMul(h3, shared), x);  // x: three consumers, over all the stages
  const auto h5 = b.RmsNorm(b.Add(h4, h1), b.Parameter("norm", {16}, Ones()));
  b.SoftmaxCrossEntropy(b.MatMul(b.Sub(h5, b.Dropout(h2, 0.2)), b.Parameter("head", {16, kVocabulary}, Normal(0.2))),
                        labels);
  return b.Finish();
}

absl::StatusOr<proto::Model> ModelNamed(const std::string& name) {
  if (name == "gpt2") return Gpt2();
  if (name == "llama") return Llama(false);
  if (name == "llama_tied") return Llama(true);
  return Skips();
}

absl::StatusOr<RunResult> Train(const std::string& model_name, int pp, const std::string& schedule,
                                int64_t micro_batches, const RunOptions& run, const std::string& cut = "balanced",
                                const std::string& optimizer = "adamw") {
  auto model = ModelNamed(model_name);
  if (!model.ok()) return model.status();
  PartitionOptions options = OptionsFor(run.device, pp);
  options.micro_batch = 2;
  options.micro_batches = micro_batches;
  options.schedule = schedule;
  options.cut = cut;
  options.optimizer = optimizer;
  auto plan = PlanFor(*model, options);
  if (!plan.ok()) return plan.status();
  return RunPlan(*plan, run);
}

RunOptions Steps(int steps, const std::string& device = "cpu", int threads = 1) {
  RunOptions run;
  run.device = device;
  run.threads = threads;
  run.steps = steps;
  run.load = RandomTokens(kVocabulary);
  return run;
}

class Bits : public testing::TestWithParam<std::string> {};

TEST_P(Bits, EveryCutAndScheduleTrainsToTheOneStageBits) {
  const auto one = Train(GetParam(), 1, "gpipe", 5, Steps(50));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_NE(one->losses.back(), one->losses.front());
  for (int pp : {1, 2, 3, 4}) {
    for (const std::string schedule : {"gpipe", "1f1b"}) {
      const auto cut = Train(GetParam(), pp, schedule, 5, Steps(50));
      ASSERT_TRUE(cut.ok()) << "pp " << pp << " " << schedule << ": " << cut.status();
      EXPECT_EQ(cut->losses, one->losses) << "pp " << pp << " " << schedule;
      EXPECT_EQ(cut->norms, one->norms) << "pp " << pp << " " << schedule;
      EXPECT_THAT(Differences(cut->weights, one->weights), IsEmpty()) << "pp " << pp << " " << schedule;
      EXPECT_THAT(Differences(cut->gradients, one->gradients), IsEmpty()) << "pp " << pp << " " << schedule;
    }
  }
}

// Two towers over the same rows, one after the other in the graph's order; stages that hold some of each.
absl::StatusOr<proto::Model> Towers() {
  GraphBuilder b("towers");
  const auto tokens = b.Input("tokens", {-1, 11}, proto::I64, proto::Input::TOKENS);
  const auto labels = b.Input("labels", {-1, 11}, proto::I64, proto::Input::LABELS);
  const auto x = b.Named("rows").Gather(b.Parameter("embed", {kVocabulary, 16}, Normal(0.5)), tokens);
  std::vector<std::string> ends;
  for (const char* tower : {"left", "right"}) {
    std::string y = x;
    for (int i = 0; i < 3; ++i) y = b.Dropout(b.Gelu(b.Linear(absl::StrCat(tower, ".", i), y, 16, 16)), 0.1);
    ends.push_back(y);
  }
  b.SoftmaxCrossEntropy(
      b.MatMul(b.Add(ends[0], b.Add(ends[1], x)), b.Parameter("head", {16, kVocabulary}, Normal(0.2))), labels);
  return b.Finish();
}

TEST(BitsOfOrders, StagesNeedNotFollowTheOrderOfTheGraph) {
  const auto model = Towers();
  ASSERT_TRUE(model.ok()) << model.status();
  PartitionOptions options = OptionsFor("cpu", 1);
  options.micro_batch = 2;
  options.micro_batches = 5;
  const auto one_plan = PlanFor(*model, options);
  ASSERT_TRUE(one_plan.ok()) << one_plan.status();
  const auto one = RunPlan(*one_plan, Steps(20));
  ASSERT_TRUE(one.ok()) << one.status();
  const std::vector<std::vector<Pin>> pins = {
      {{"left.0", 0}, {"left.1", 1}, {"left.2", 2}, {"right.0", 0}, {"right.1", 0}, {"right.2", 1}},
      {{"left.0", 0}, {"left.1", 2}, {"left.2", 2}, {"right.0", 1}, {"right.1", 1}, {"right.2", 1}}};
  for (const std::string schedule : {"gpipe", "1f1b", "zb-h1"}) {
    for (size_t i = 0; i < pins.size(); ++i) {
      PartitionOptions three = OptionsFor("cpu", 3);
      three.micro_batch = 2;
      three.micro_batches = 5;
      three.schedule = schedule;
      three.pinned = pins[i];
      const auto plan = PlanFor(*model, three);
      ASSERT_TRUE(plan.ok()) << schedule << " " << i << ": " << plan.status();
      const auto cut = RunPlan(*plan, Steps(20));
      ASSERT_TRUE(cut.ok()) << schedule << " " << i << ": " << cut.status();
      EXPECT_EQ(cut->losses, one->losses) << schedule << " " << i;
      EXPECT_EQ(cut->norms, one->norms) << schedule << " " << i;
      EXPECT_THAT(Differences(cut->weights, one->weights), IsEmpty()) << schedule << " " << i;
      EXPECT_THAT(Differences(cut->gradients, one->gradients), IsEmpty()) << schedule << " " << i;
    }
  }
}

TEST_P(Bits, ThreadsAndCutsChangeNothing) {
  const auto one = Train(GetParam(), 1, "1f1b", 3, Steps(5));
  ASSERT_TRUE(one.ok()) << one.status();
  for (int threads : {2, 4}) {
    const auto threaded = Train(GetParam(), 2, "1f1b", 3, Steps(5, "cpu", threads));
    ASSERT_TRUE(threaded.ok()) << threaded.status();
    EXPECT_THAT(Differences(threaded->weights, one->weights), IsEmpty()) << threads << " threads";
  }
  const auto even = Train(GetParam(), 3, "1f1b", 3, Steps(5), "even");
  ASSERT_TRUE(even.ok()) << even.status();
  EXPECT_THAT(Differences(even->weights, one->weights), IsEmpty()) << "even cut";
}

TEST_P(Bits, FewMicroBatchesAndSgd) {
  for (int64_t micro_batches : {1, 2}) {
    const auto one = Train(GetParam(), 1, "1f1b", micro_batches, Steps(4), "balanced", "sgd");
    const auto four = Train(GetParam(), 4, "1f1b", micro_batches, Steps(4), "balanced", "sgd");
    ASSERT_TRUE(one.ok()) << one.status();
    ASSERT_TRUE(four.ok()) << four.status();
    EXPECT_EQ(four->losses, one->losses);
    EXPECT_THAT(Differences(four->weights, one->weights), IsEmpty());
  }
}

TEST_P(Bits, ReferenceBackendAgreesWithItselfAndNearlyWithCpu) {
  const auto one = Train(GetParam(), 1, "1f1b", 2, Steps(2, "reference"));
  const auto three = Train(GetParam(), 3, "gpipe", 2, Steps(2, "reference"));
  const auto cpu = Train(GetParam(), 2, "1f1b", 2, Steps(2));
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(three.ok()) << three.status();
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  EXPECT_THAT(Differences(three->weights, one->weights), IsEmpty());
  EXPECT_NEAR(cpu->losses[1], one->losses[1], 1e-4 * one->losses[1]);
}

INSTANTIATE_TEST_SUITE_P(Models, Bits, testing::Values("gpt2", "llama", "llama_tied", "skips"),
                         [](const auto& info) { return info.param; });

TEST(FrozenParameter, StaysAsItWas) {
  const auto result = Train("skips", 3, "1f1b", 2, Steps(3));
  const auto shorter = Train("skips", 1, "1f1b", 2, Steps(1));
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(shorter.ok()) << shorter.status();
  EXPECT_EQ(result->weights.at("frozen"), shorter->weights.at("frozen"));
  EXPECT_NE(result->weights.at("shared"), shorter->weights.at("shared"));
  EXPECT_EQ(result->gradients.count("frozen"), 0u);
}

}  // namespace
}  // namespace millrace
