// The simulator against closed forms and against lists worked out by hand.
#include "runtime/plan/simulate.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

// GPipe (Huang et al. 2019) and 1F1B (Narayanan et al. 2019) with backward in one piece: (m + p - 1)(f + b), of which
// m (f + b) is work.
TEST(Simulate, ClosedFormOfGPipeAnd1F1B) {
  for (const bool gpipe : {false, true}) {
    for (const int p : {2, 3, 4, 8}) {
      for (const int m : {1, 2, 4, 8, 13}) {
        const auto plan = TinyPlan({.stages = p,
                                    .micro_batches = m,
                                    .gpipe = gpipe,
                                    .split = false,
                                    .forward = 2,
                                    .backward = 3,
                                    .weight = 1});
        const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
        ASSERT_TRUE(simulation.ok()) << simulation.status();
        const double span = (m + p - 1) * 6.0;
        EXPECT_DOUBLE_EQ(simulation->seconds, span) << "p " << p << ", m " << m << ", gpipe " << gpipe;
        EXPECT_NEAR(simulation->bubble_rate, double(p - 1) / (m + p - 1), 1e-12);
        EXPECT_NEAR(simulation->bubble_over_ideal, double(p - 1) / m, 1e-12);
        for (int s = 0; s < p; ++s) {
          EXPECT_DOUBLE_EQ(simulation->ranks[s].busy_seconds, m * 6.0);
          EXPECT_DOUBLE_EQ(simulation->ranks[s].idle_seconds, (p - 1) * 6.0);
          EXPECT_DOUBLE_EQ(simulation->ranks[s].forward_seconds, m * 2.0);
          EXPECT_DOUBLE_EQ(simulation->ranks[s].communication_seconds, 0);
          EXPECT_EQ(simulation->peak_in_flight[s], gpipe ? m : std::min(m, p - s));
        }
      }
    }
  }
}

// With B and W apart only F and B lie on the way from rank to rank: (p - 1)(f + b) + m (f + b + w).
TEST(Simulate, SplitBackwardShortensTheBubble) {
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 1, .split = true});
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  ASSERT_TRUE(simulation.ok());
  EXPECT_DOUBLE_EQ(simulation->seconds, 3 * 2 + 3);
  EXPECT_DOUBLE_EQ(simulation->ranks[0].weight_seconds, 1);
}

// One micro-batch through p stages and back: 2 (p - 1) transfers lie bare.
TEST(Simulate, TransfersTakeTheirTime) {
  const auto plan = TinyPlan({.stages = 3, .micro_batches = 1, .split = false, .send = 0.25});
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  ASSERT_TRUE(simulation.ok());
  EXPECT_DOUBLE_EQ(simulation->seconds, 3 * 3 + 4 * 0.25);
  EXPECT_DOUBLE_EQ(simulation->ranks[0].communication_seconds, 0.25);
  EXPECT_DOUBLE_EQ(simulation->ranks[1].communication_seconds, 0.5);
}

TEST(Simulate, SpansTellWaitFromWork) {
  const auto plan = TinyPlan({.stages = 2, .micro_batches = 1, .split = false});
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  ASSERT_TRUE(simulation.ok());
  EXPECT_EQ(simulation->trace.spans_size(),
            plan.programs(0).ranks(0).instructions_size() + plan.programs(0).ranks(1).instructions_size());
  EXPECT_TRUE(simulation->trace.predicted());
  EXPECT_EQ(simulation->trace.plan_hash(), plan.hash());
  for (const proto::Span& span : simulation->trace.spans()) {
    const proto::Instruction& instruction = plan.programs(0).ranks(span.rank()).instructions(span.instruction());
    if (span.rank() != 1 || instruction.kind() != proto::Instruction::RUN || instruction.phase() != proto::F) continue;
    EXPECT_DOUBLE_EQ(span.start_seconds(), 0);
    EXPECT_DOUBLE_EQ(span.wait_seconds(), 1);
    EXPECT_DOUBLE_EQ(span.end_seconds(), 2);
  }
}

TEST(Simulate, DeadlockIsNoCrash) {
  auto plan = TinyPlan({.stages = 2, .gpipe = true});
  // Each rank now waits for what the other does later: rank 0's first F for the last gradient.
  proto::RankProgram* list = plan.mutable_programs(0)->mutable_ranks(1);
  for (proto::Instruction& instruction : *list->mutable_instructions()) {
    if (instruction.kind() == proto::Instruction::RECV) instruction.set_micro_batch(3 - instruction.micro_batch());
  }
  const absl::Status status = Simulate(plan, "train").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("stuck: program train, rank 0, instruction"));
}

TEST(Simulate, RefusesWhatItCannotFollow) {
  auto plan = TinyPlan({});
  EXPECT_EQ(Simulate(plan, "eval").status().code(), absl::StatusCode::kNotFound);
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(1)->set_seconds(-1);
  EXPECT_FALSE(Simulate(plan, "train").ok());
  plan = TinyPlan({});
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(1)->add_after(70);
  EXPECT_THAT(std::string(Simulate(plan, "train").status().message()), HasSubstr("rule index"));
}

TEST(Summarize, GivesTheSameFigures) {
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 6, .send = 0.5});
  const absl::StatusOr<Simulation> simulated = Simulate(plan, "train");
  ASSERT_TRUE(simulated.ok());
  const absl::StatusOr<Simulation> summary = Summarize(plan, simulated->trace);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_DOUBLE_EQ(summary->seconds, simulated->seconds);
  EXPECT_DOUBLE_EQ(summary->bubble_rate, simulated->bubble_rate);
  EXPECT_EQ(summary->peak_in_flight, simulated->peak_in_flight);
}

TEST(Summarize, RefusesATraceOfAnotherPlan) {
  const auto plan = TinyPlan({});
  auto trace = Simulate(plan, "train")->trace;
  trace.mutable_spans(0)->set_instruction(5000);
  EXPECT_EQ(Summarize(plan, trace).status().code(), absl::StatusCode::kInvalidArgument);
  trace.set_plan_hash("0");
  EXPECT_EQ(Summarize(plan, trace).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace
