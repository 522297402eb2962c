// Predicted against measured: rows, imbalance, the worst instructions; and the step as a sum.
#include "runtime/job/balance.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/job/schedule_cap.h"
#include "runtime/plan/plan.h"
#include "tests/runtime/plan/tiny_plan.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

proto::StepTrace Measured(const proto::ExecutionPlan& plan) {
  proto::StepTrace trace = Simulate(plan, "train")->trace;
  trace.set_predicted(false);
  return trace;
}

// The same lists with every RUN of a stage so many times as long.
proto::StepTrace Slower(const proto::ExecutionPlan& plan, const std::vector<double>& factor) {
  proto::ExecutionPlan slower = plan;
  for (proto::RankProgram& rank : *slower.mutable_programs(0)->mutable_ranks()) {
    for (proto::Instruction& run : *rank.mutable_instructions()) {
      if (run.kind() == proto::Instruction::RUN) run.set_seconds(run.seconds() * factor[run.stage()]);
    }
  }
  return Measured(slower);
}

TEST(Balance, PutsPredictionAndMeasurementSideBySide) {
  proto::ExecutionPlan plan = ToyPlan({.stages = 4, .ranks = 2});
  SealPlan(&plan);
  const proto::StepTrace predicted = Simulate(plan, "train")->trace;
  proto::StepTrace measured = Measured(plan);
  const auto balance = MakeBalance(plan, predicted, measured);
  ASSERT_TRUE(balance.ok()) << balance.status();
  ASSERT_EQ(balance->ranks.size(), 2u);
  EXPECT_EQ(balance->ranks[1].stages, (std::vector<int>{2, 3}));
  EXPECT_EQ(balance->ranks[0].memory.arena, plan.ranks(0).arena_bytes());
  ASSERT_EQ(balance->measured.stages.size(), 4u);
  EXPECT_EQ(balance->measured.stages[3].rank, 1);
  measured.set_plan_hash("another");
  EXPECT_EQ(MakeBalance(plan, predicted, measured).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Balance, ImbalanceIsTheBusiestOverTheMean) {
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 6});
  // Stage 2 works three times as long as planned: 3 of a mean of 1.5.
  const auto balance = MakeBalance(plan, Simulate(plan, "train")->trace, Slower(plan, {1, 1, 3, 1}));
  ASSERT_TRUE(balance.ok()) << balance.status();
  EXPECT_NEAR(balance->predicted_imbalance, 0, 1e-12);
  EXPECT_NEAR(balance->measured_imbalance, 1, 1e-12);
  EXPECT_EQ(balance->busiest_rank, 2);
}

TEST(Balance, TheWorstInstructionsAreThoseOfTheSlowStage) {
  const auto plan = TinyPlan({.stages = 3, .micro_batches = 6});
  const auto balance = MakeBalance(plan, Simulate(plan, "train")->trace, Slower(plan, {1, 1.25, 0.25}));
  ASSERT_TRUE(balance.ok()) << balance.status();
  ASSERT_EQ(balance->worst_by_difference.size(), 10u);
  ASSERT_EQ(balance->worst_by_ratio.size(), 10u);
  for (const InstructionTimes& worst : balance->worst_by_ratio) {
    EXPECT_EQ(worst.stage, 2) << "four times shorter is further off than a quarter longer";
    EXPECT_NEAR(worst.ratio(), 0.25, 1e-12);
    EXPECT_NEAR(worst.difference(), -0.75 * worst.predicted, 1e-12);
  }
  EXPECT_EQ(balance->worst_by_difference[0].name, "2F0");
}

TEST(StepParts, AddUpToTheStep) {
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 5, .send = 0.5});
  for (const auto& factor : {std::vector<double>{1, 1, 1, 1}, {1, 2, 1, 4}}) {
    const proto::StepTrace trace = Slower(plan, factor);
    const auto cap = MakeScheduleCap(plan, trace);
    ASSERT_TRUE(cap.ok()) << cap.status();
    const StepParts parts = cap->parts();
    EXPECT_NEAR(parts.step(), trace.step_seconds(), 1e-9);
    EXPECT_NEAR(parts.work, 5 * 3 * (factor[0] + factor[1] + factor[2] + factor[3]) / 4, 1e-9);
    EXPECT_NEAR(parts.work + parts.imbalance, 5 * 3 * factor[3], 1e-9);
    EXPECT_GT(parts.transfers, 0);
  }
}

TEST(LimitText, NamesTheLargestPart) {
  EXPECT_THAT(LimitText({.work = 9, .imbalance = 0.5, .bubble = 0.5}), HasSubstr("compute"));
  EXPECT_THAT(LimitText({.work = 5, .imbalance = 4, .bubble = 1}), HasSubstr("imbalance"));
  EXPECT_THAT(LimitText({.work = 5, .imbalance = 1, .bubble = 4}), HasSubstr("bubble"));
  EXPECT_THAT(LimitText({.work = 5, .transfers = 4}), HasSubstr("links"));
  EXPECT_THAT(LimitText({.work = 5, .end = 4}), HasSubstr("optimizer"));
  EXPECT_THAT(LimitText({}), HasSubstr("nothing"));
}

}  // namespace
}  // namespace millrace
