// A simulated step stands for the measured one: then every part of the account is known.
#include "runtime/job/schedule_cap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partitioner/graph/mlp.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

proto::ExecutionPlan Plan(double transfer_seconds, double end_seconds) {
  PartitionOptions options = OptionsFor("reference", 3);
  options.micro_batches = 4;
  proto::ExecutionPlan plan = PlanFor(*MakeMlp({.layers = 6}), options).value();
  plan.clear_links();  // transfers take what their instructions say
  for (proto::Program& program : *plan.mutable_programs()) {
    for (proto::RankProgram& rank : *program.mutable_ranks()) {
      for (proto::Instruction& instruction : *rank.mutable_instructions()) {
        switch (instruction.kind()) {
          case proto::Instruction::RUN:
            instruction.set_seconds(instruction.phase() == proto::F ? 1 : 2);
            break;
          case proto::Instruction::SEND:
          case proto::Instruction::RECV:
            instruction.set_seconds(transfer_seconds);
            break;
          case proto::Instruction::STEP:
            instruction.set_seconds(end_seconds);
            break;
          default:
            instruction.set_seconds(0);
        }
      }
    }
  }
  SealPlan(&plan);
  return plan;
}

ScheduleCap CapOf(const proto::ExecutionPlan& plan) {
  return MakeScheduleCap(plan, Simulate(plan, "train")->trace).value();
}

TEST(ScheduleCap, IsTheWholeStepWhenNothingElseCosts) {
  const ScheduleCap cap = CapOf(Plan(0, 0));
  EXPECT_NEAR(cap.ideal, 4 * 3, 1e-9);
  EXPECT_NEAR(cap.cap, (4 + 3 - 1) * 3, 1e-9);  // (m + p - 1) (F + B)
  EXPECT_NEAR(cap.measured, cap.cap, 1e-9);
  EXPECT_NEAR(cap.cap_share(), 1, 1e-9);
  EXPECT_NEAR(cap.schedule_share(), 12.0 / 18, 1e-9);
}

TEST(ScheduleCap, TellsTheEndOfTheStepFromTransfers) {
  const ScheduleCap cap = CapOf(Plan(0.25, 5));
  EXPECT_NEAR(cap.cap, 18, 1e-9);
  EXPECT_NEAR(cap.with_end, 18 + 5, 1e-9);
  EXPECT_GT(cap.measured, cap.with_end + 0.5);
  EXPECT_THAT(ScheduleCapText(cap, "1f1b"), testing::HasSubstr("5000.00 ms reduce"));
}

TEST(ScheduleCap, RefusesATraceOfAnotherPlan) {
  const proto::ExecutionPlan plan = Plan(0, 0);
  proto::StepTrace trace = Simulate(plan, "train")->trace;
  trace.set_plan_hash("another");
  EXPECT_EQ(MakeScheduleCap(plan, trace).status().code(), absl::StatusCode::kFailedPrecondition);
  trace = Simulate(plan, "train")->trace;
  trace.mutable_spans(0)->set_instruction(100000);
  EXPECT_EQ(MakeScheduleCap(plan, trace).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
