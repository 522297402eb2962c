// Schedules given as lists: weight gradients delayed, several stages on a rank. On the fast backend, to the bits of one
// stage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;

constexpr int64_t kVocabulary = 53;

absl::StatusOr<proto::Model> Gpt2() {
  Gpt2Options options;
  options.layers = 4;
  options.heads = 2;
  options.width = 24;
  options.vocabulary = kVocabulary;
  options.context = 17;
  options.dropout = 0.1;
  return MakeGpt2(options);
}

absl::StatusOr<proto::Model> Llama() {
  LlamaOptions options;
  options.layers = 4;
  options.heads = 4;
  options.kv_heads = 2;
  options.width = 32;
  options.hidden = 40;
  options.vocabulary = kVocabulary;
  options.context = 13;
  options.tied = true;
  return MakeLlama(options);
}

struct Case {
  std::string name;
  int pp;
  int64_t micro_batches;
  std::string csv;
};

RunResult Train(const proto::Model& model, int pp, int64_t micro_batches, const std::string& csv) {
  PartitionOptions options = OptionsFor("cpu", pp);
  options.micro_batch = 2;
  options.micro_batches = micro_batches;
  if (!csv.empty()) {
    const auto schedule = Schedule::ParseCsv(csv);
    EXPECT_TRUE(schedule.ok()) << schedule.status();
    options.custom_schedule = *schedule;
  }
  const auto plan = PlanFor(model, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return {};
  RunOptions run;
  run.steps = 4;
  run.load = RandomTokens(kVocabulary);
  const auto result = RunPlan(*plan, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(RunResult());
}

class CustomSchedule : public testing::TestWithParam<Case> {};

TEST_P(CustomSchedule, TrainsToTheOneStageBits) {
  const Case& c = GetParam();
  for (const auto& model : {Gpt2(), Llama()}) {
    ASSERT_TRUE(model.ok()) << model.status();
    const RunResult one = Train(*model, 1, c.micro_batches, "");
    const RunResult custom = Train(*model, c.pp, c.micro_batches, c.csv);
    ASSERT_EQ(one.losses.size(), 4u);
    EXPECT_EQ(custom.losses, one.losses) << model->name();
    EXPECT_EQ(custom.norms, one.norms) << model->name();
    EXPECT_EQ(custom.weights.size(), one.weights.size());
    EXPECT_THAT(Differences(custom.weights, one.weights), IsEmpty()) << model->name();
    EXPECT_THAT(Differences(custom.gradients, one.gradients), IsEmpty()) << model->name();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lists, CustomSchedule,
    testing::Values(
        // One stage, every weight gradient at the end.
        Case{"one_stage", 1, 3, "0F0,0F1,0F2,0B0,0B1,0B2,0W0,0W1,0W2\n"},
        // Zero-bubble H1 in spirit (Qi et al. 2024): W fills what would be bubble.
        Case{"w_in_the_bubble", 2, 4,
             "0F0,0F1,0B0,0F2,0W0,0B1,0F3,0W1,0B2,0W2,0B3,0W3\n"
             "1F0,1B0,1F1,1W0,1B1,1F2,1W1,1B2,1F3,1W2,1B3,1W3\n"},
        Case{"w_at_the_end", 3, 3,
             "0F0,0F1,0F2,0B0,0B1,0B2,0W0,0W1,0W2\n"
             "1F0,1F1,1B0,1F2,1B1,1B2,1W0,1W1,1W2\n"
             "2F0,2B0,2F1,2B1,2F2,2B2,2W0,2W1,2W2\n"},
        // Stages made again as actions of their own, one where the backward pass is split and one where it is whole.
        Case{"recompute_placed", 2, 3,
             "0F0,0F1,0R0,0BW0,0F2,0R1,0B1,0R2,0W1,0BW2\n"
             "1F0,1R0,1BW0,1F1,1R1,1BW1,1F2,1R2,1B2,1W2\n"},
        // Four stages on two ranks, dealt like cards (interleaved, Narayanan et al. 2021).
        Case{"interleaved", 2, 2,
             "0F0,0F1,2F0,2F1,2BW0,2BW1,0BW0,0BW1\n"
             "1F0,1F1,3F0,3BW0,3F1,3BW1,1BW0,1BW1\n"},
        // Four stages on two ranks, down and up again (V shape), weight gradients late on one of them.
        Case{"v_shape", 2, 2,
             "0F0,0F1,3F0,3B0,3F1,3B1,3W0,3W1,0BW0,0BW1\n"
             "1F0,2F0,1F1,2F1,2BW0,1BW0,2BW1,1BW1\n"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace millrace
