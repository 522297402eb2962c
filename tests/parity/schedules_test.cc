// Every kind of schedule trains to the weights of one stage, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/schedule/make_schedule.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 53;
constexpr int64_t kMicroBatches = 8;  // what DualPipeV needs on 4 ranks
constexpr int kSteps = 20;

absl::StatusOr<proto::Model> ModelNamed(const std::string& name) {
  if (name == "gpt2") {
    return MakeGpt2({.layers = 4, .heads = 2, .width = 24, .vocabulary = kVocabulary, .context = 11, .dropout = 0.1});
  }
  LlamaOptions options;
  options.layers = 4;
  options.heads = 4;
  options.kv_heads = 2;
  options.width = 32;
  options.hidden = 40;
  options.vocabulary = kVocabulary;
  options.context = 9;
  options.tied = true;
  return MakeLlama(options);
}

// The case must be what it says: R's where they are placed, copies in the backward pass where they are inside.
void CheckRecomputation(const proto::ExecutionPlan& plan, const std::string& recompute) {
  bool placed = false, inside = false;
  for (const proto::StageProgram& stage : plan.programs(0).stages()) {
    for (const proto::PhaseProgram& phase : stage.phases()) {
      placed |= phase.phase() == proto::R;
      for (const proto::KernelCall& call : phase.calls()) {
        inside |= phase.phase() != proto::R && absl::StartsWith(call.node(), "again/");
      }
    }
  }
  EXPECT_EQ(placed, recompute == "placed");
  EXPECT_EQ(inside, recompute == "inside" || recompute == "segments");
}

RunResult Train(const std::string& model_name, int pp, const std::string& schedule, const std::string& recompute) {
  const auto model = ModelNamed(model_name);
  EXPECT_TRUE(model.ok()) << model.status();
  PartitionOptions options = OptionsFor("cpu", pp);
  options.micro_batch = 1;
  options.micro_batches = kMicroBatches;
  options.schedule = schedule;
  options.recompute = recompute == "none" ? "none" : "all";
  options.recompute_as = recompute == "placed" ? "placed" : "inside";
  options.recompute_segments = recompute == "segments" ? 3 : 0;
  options.with_eval = options.with_logits = false;
  const auto plan = PlanFor(*model, options);
  if (plan.ok()) CheckRecomputation(*plan, recompute);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return {};
  EXPECT_EQ(plan->programs(0).schedule(), schedule);
  RunOptions run;
  run.steps = kSteps;
  run.load = RandomTokens(kVocabulary);
  const auto result = RunPlan(*plan, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(RunResult());
}

const RunResult& OneStage(const std::string& model_name) {
  static auto& known = *new std::map<std::string, RunResult>;
  const auto [found, is_new] = known.try_emplace(model_name);
  if (is_new) found->second = Train(model_name, 1, "1f1b", "none");
  return found->second;
}

class Schedules : public testing::TestWithParam<std::tuple<std::string, std::string, int, std::string>> {};

TEST_P(Schedules, TrainToTheOneStageBits) {
  const auto& [model, kind, pp, recompute] = GetParam();
  const RunResult& one = OneStage(model);
  ASSERT_EQ(one.losses.size(), static_cast<size_t>(kSteps));
  EXPECT_NE(one.losses.front(), one.losses.back());
  const RunResult cut = Train(model, pp, kind, recompute);
  EXPECT_EQ(cut.losses, one.losses);
  EXPECT_EQ(cut.norms, one.norms);
  EXPECT_EQ(cut.weights.size(), one.weights.size());
  EXPECT_THAT(Differences(cut.weights, one.weights), IsEmpty());
  EXPECT_THAT(Differences(cut.gradients, one.gradients), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, Schedules,
                         testing::Combine(testing::Values("gpt2", "llama"), testing::ValuesIn(ScheduleKinds()),
                                          testing::Values(2, 4),
                                          testing::Values("none", "inside", "segments", "placed")),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_",
                                               absl::StrReplaceAll(std::get<1>(info.param), {{"-", "_"}}), "_",
                                               std::get<2>(info.param), "_", std::get<3>(info.param));
                         });

}  // namespace
}  // namespace millrace
