// What a worker does when something is wrong: with the plan, a kernel, the data, the numbers.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/worker/rank_group.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_options.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(WorkerFailure, SaysWhatAKernelNeedsBeyondThePlan) {
  ToyOptions toy;
  toy.scratch_bytes = 64;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDeviceOptions hungry;
  hungry.scratch_bytes = 65;
  ToyDevice device(hungry);
  RankGroup group(plan, ToyWorker(toy, &device));
  EXPECT_EQ(group.status().code(), absl::StatusCode::kFailedPrecondition);
  for (const char* part : {"65", "64", "Mul0", "RUN 0F0", "rank 0", "partition again"}) {
    EXPECT_THAT(std::string(group.status().message()), HasSubstr(part));
  }
  toy.scratch_bytes = 0;
  toy.packed = true;
  proto::ExecutionPlan unpacked = ToyPlan(toy);
  ToyDevice modest;
  ASSERT_TRUE(RankGroup(unpacked, ToyWorker(toy, &modest)).status().ok());
  proto::StageProgram* stage = unpacked.mutable_programs(0)->mutable_stages(0);
  stage->mutable_phases(0)->mutable_calls(0)->set_packed_bytes(59);
  absl::Status status = RankGroup(unpacked, ToyWorker(toy, &modest)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("60 bytes of packed weights and the plan gives 59"));
  // Nobody makes the packed weights.
  unpacked = ToyPlan(toy);
  for (proto::Program& program : *unpacked.mutable_programs()) program.mutable_stages(0)->clear_prepare();
  status = RankGroup(unpacked, ToyWorker(toy, &modest)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no PREPARE"));
}

TEST(WorkerFailure, RefusesBrokenPlans) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan good = ToyPlan(toy);
  ToyDevice device;
  auto create = [&](const proto::ExecutionPlan& plan) { return RankGroup(plan, ToyWorker(toy, &device)).status(); };
  ASSERT_TRUE(create(good).ok());
  proto::ExecutionPlan plan = good;
  plan.mutable_ranks(1)->set_arena_bytes(300);
  EXPECT_THAT(std::string(create(plan).message()), HasSubstr("arena of 300"));
  plan = good;
  plan.set_norm_block_elements(0);
  EXPECT_EQ(create(plan).code(), absl::StatusCode::kFailedPrecondition);
  plan = good;
  plan.set_optimizer("adagrad");
  EXPECT_THAT(std::string(create(plan).message()), HasSubstr("adagrad"));
  plan = good;
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(1)->clear_slots();
  EXPECT_THAT(std::string(create(plan).message()), HasSubstr("RUN 0F0"));
  plan = good;
  plan.mutable_programs(0)->mutable_stages(0)->mutable_phases(0)->mutable_calls(0)->set_op("Conv");
  EXPECT_EQ(create(plan).code(), absl::StatusCode::kUnimplemented);
  plan = good;
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(0)->set_kind(proto::Instruction::KIND_UNSPECIFIED);
  EXPECT_EQ(create(plan).code(), absl::StatusCode::kUnimplemented);
  WorkerOptions no_load = ToyWorker(toy, &device);
  no_load.load = nullptr;
  EXPECT_EQ(RankGroup(good, no_load).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(WorkerFailure, AFailedKernelReachesEveryRank) {
  ToyOptions toy;
  toy.stages = 3;
  toy.ranks = 3;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice good;
  ToyDeviceOptions options;
  options.failing_op = "Mul";
  options.failing_run = 5;
  ToyDevice bad(options);
  RankGroup group(plan, ToyWorker(toy, &good), {&good, &bad, &good});
  ASSERT_TRUE(group.status().ok());
  group.Start();
  auto train = [](int, Worker& worker) { return worker.TrainStep(ToySettings(0)).status(); };
  for (int round = 0; round < 2; ++round) {
    for (const absl::Status& status : group.OnEveryRank(train)) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      for (const char* part : {"rank 1", "program train", "RUN 1BW1", "node Mul1", "the toy is broken"}) {
        EXPECT_THAT(std::string(status.message()), HasSubstr(part));
      }
    }
  }
}

TEST(WorkerFailure, AFailedLoadReachesEveryRank) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  WorkerOptions options = ToyWorker(toy, &device);
  options.load = [load = options.load](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                       uint64_t bytes) {
    return micro_batch == 1 ? absl::DataLossError("the file ends here") : load(input, step, micro_batch, memory, bytes);
  };
  RankGroup group(plan, options);
  ASSERT_TRUE(group.status().ok());
  group.Start();
  for (const absl::Status& status :
       group.OnEveryRank([](int, Worker& worker) { return worker.TrainStep(ToySettings(0)).status(); })) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("LOAD of micro-batch 1"));
  }
}

TEST(WorkerFailure, ANonFiniteNormSkipsTheStepEverywhere) {
  ToyOptions toy;
  toy.stages = 3;
  toy.ranks = 3;
  toy.tied = true;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, ToyWorker(toy, &device));
  ASSERT_TRUE(group.status().ok());
  group.Start();
  group.Train(ToySettings(0));
  const std::vector<float> good = group.Weights(1);
  std::vector<float> m(good.size()), m_after(good.size());
  const uint64_t bytes = good.size() * sizeof(float);
  ASSERT_TRUE(group[1].ReadState(1, 0, m.data(), bytes).ok());
  std::vector<float> bad = good;
  bad[2] = std::numeric_limits<float>::infinity();
  ASSERT_TRUE(group[1].WriteParameter(1, bad.data(), bytes).ok());
  const StepResult result = group.Train(ToySettings(1));
  EXPECT_TRUE(result.skipped);
  EXPECT_FALSE(std::isfinite(result.gradient_norm));
  EXPECT_EQ(group.Weights(1), bad);
  ASSERT_TRUE(group[1].ReadState(1, 0, m_after.data(), bytes).ok());
  EXPECT_EQ(m_after, m);
  // The gradients were cleared: the next step is as if the bad one had never been.
  ASSERT_TRUE(group[1].WriteParameter(1, good.data(), bytes).ok());
  EXPECT_FALSE(group.Train(ToySettings(1)).skipped);
  const std::vector<float> healed = group.Weights(1);
  RankGroup other(plan, ToyWorker(toy, &device));
  other.Start();
  other.Train(ToySettings(0));
  other.Train(ToySettings(1));
  EXPECT_EQ(healed, other.Weights(1));
}

// The plan forgets to load the features of micro-batch 1.
TEST(WorkerFailure, PoisonShowsWhatIsReadBeforeItIsWritten) {
  ToyOptions toy;
  proto::ExecutionPlan plan = ToyPlan(toy);
  for (proto::Instruction& instruction : *plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions()) {
    if (instruction.kind() == proto::Instruction::LOAD) instruction.mutable_slots(0)->set_slot(0);
  }
  ToyDevice device;
  for (const bool poison : {true, false}) {
    WorkerOptions options = ToyWorker(toy, &device);
    options.poison = poison;
    RankGroup group(plan, options);
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    const StepResult result = group.Train(ToySettings(0));
    EXPECT_EQ(std::isnan(result.loss_sum), poison);
    EXPECT_EQ(result.skipped, poison);
  }
}

TEST(WorkerFailure, AStepWithoutLabelsLearnsNothing) {
  ToyOptions toy;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  WorkerOptions options = ToyWorker(toy, &device);
  options.load = [load = options.load](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                       uint64_t bytes) {
    if (input.name() != "labels") return load(input, step, micro_batch, memory, bytes);
    for (uint64_t i = 0; i < bytes / sizeof(int64_t); ++i) static_cast<int64_t*>(memory)[i] = -100;
    return absl::OkStatus();
  };
  RankGroup group(plan, options);
  ASSERT_TRUE(group.status().ok()) << group.status();
  group.Start();
  const std::vector<float> before = group.Weights(0);
  const StepResult result = group.Train(ToySettings(0));
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(result.loss_count, 0);
  EXPECT_EQ(result.gradient_norm, 0);
  EXPECT_EQ(group.Weights(0), before);
}

}  // namespace
}  // namespace millrace
