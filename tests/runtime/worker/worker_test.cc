#include "runtime/worker/worker.h"

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/worker/rank_group.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr uint64_t kSeed = 11;

WorkerOptions Options(const ToyOptions& toy, Device* device) {
  WorkerOptions options;
  options.device = device;
  options.load = ToyLoad(toy);
  options.seed = kSeed;
  options.poison = true;
  return options;
}

StepSettings Settings(uint64_t step) {
  StepSettings settings;
  settings.step = step;
  settings.optimizer_step = step + 1;
  settings.learning_rate = 0.05;
  settings.weight_decay = 0.1;
  settings.momentum = 0.9;
  settings.clip_norm = 0.3;
  return settings;
}

std::vector<std::vector<float>> AllWeights(RankGroup& group, const proto::ExecutionPlan& plan) {
  std::vector<std::vector<float>> weights;
  for (int p = 0; p < plan.parameters_size(); ++p) weights.push_back(group.Weights(p));
  return weights;
}

// (stages, ranks, tied, optimizer)
class TrainsLikePlainLoops : public testing::TestWithParam<std::tuple<int, int, bool, std::string>> {};

TEST_P(TrainsLikePlainLoops, ForFourSteps) {
  ToyOptions toy;
  std::tie(toy.stages, toy.ranks, toy.tied, toy.optimizer) = GetParam();
  toy.micro_batches = 3;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok()) << group.status();
  group.Start();
  for (int r = 0; r < group.size(); ++r) group[r].KeepGradients(true);
  const std::vector<std::vector<float>> first = AllWeights(group, plan);
  std::vector<StepSettings> steps;
  std::vector<StepResult> results;
  for (uint64_t step = 0; step < 4; ++step) {
    steps.push_back(Settings(step));
    results.push_back(group.Train(steps.back()));
  }
  const ToyHistory want = ToyTraining(toy, first, steps);
  for (size_t step = 0; step < steps.size(); ++step) {
    EXPECT_DOUBLE_EQ(results[step].loss_sum, want.losses[step]);
    EXPECT_EQ(results[step].loss_count, toy.micro_batches * toy.rows - 1);
    EXPECT_NEAR(results[step].gradient_norm, want.norms[step], 1e-12);
    EXPECT_FALSE(results[step].skipped);
  }
  for (int p = 0; p < plan.parameters_size(); ++p) {
    const std::vector<float> weights = group.Weights(p);
    for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(weights[i], want.weights[p][i], 1e-6);
    EXPECT_NE(weights, first[p]);
    std::vector<float> gradient(weights.size());
    const int owner = static_cast<int>(plan.buckets(p).owner());
    ASSERT_TRUE(group[owner].ReadGradient(p, gradient.data(), gradient.size() * sizeof(float)).ok());
    for (size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(gradient[i], want.gradients[p][i], 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Toy, TrainsLikePlainLoops,
                         testing::Values(std::tuple(1, 1, false, "adamw"), std::tuple(1, 1, false, "sgd"),
                                         std::tuple(2, 2, false, "adamw"), std::tuple(4, 4, false, "sgd"),
                                         std::tuple(4, 2, false, "adamw"), std::tuple(4, 4, true, "adamw"),
                                         std::tuple(4, 2, true, "adamw"), std::tuple(3, 1, true, "sgd")));

// Where the cuts fall changes no bit.
TEST(Worker, EqualBitsForEveryNumberOfRanks) {
  for (const bool tied : {false, true}) {
    std::vector<std::vector<float>> want;
    std::vector<double> want_losses, want_norms;
    for (int ranks : {1, 2, 3, 4}) {
      ToyOptions toy;
      toy.stages = 4;
      toy.ranks = ranks;
      toy.tied = tied;
      toy.micro_batches = 4;
      const proto::ExecutionPlan plan = ToyPlan(toy);
      ToyDevice device;
      RankGroup group(plan, Options(toy, &device));
      ASSERT_TRUE(group.status().ok()) << group.status();
      group.Start();
      std::vector<double> losses, norms;
      for (uint64_t step = 0; step < 5; ++step) {
        const StepResult result = group.Train(Settings(step));
        losses.push_back(result.loss_sum);
        norms.push_back(result.gradient_norm);
      }
      if (ranks == 1) {
        want = AllWeights(group, plan);
        want_losses = losses;
        want_norms = norms;
      }
      EXPECT_EQ(AllWeights(group, plan), want) << ranks << " ranks, tied " << tied;
      EXPECT_EQ(losses, want_losses);
      EXPECT_EQ(norms, want_norms);
    }
  }
}

// The same transfers as groups of one, and on the compute channel: the strictest machine of the verifier's proof.
TEST(Worker, GroupsAndOneQueueGiveTheSameBits) {
  ToyOptions toy;
  toy.stages = toy.ranks = 3;
  std::vector<std::vector<float>> want;
  for (const std::string form : {"plain", "groups", "one queue"}) {
    proto::ExecutionPlan plan = ToyPlan(toy);
    for (proto::RankProgram& rank : *plan.mutable_programs(0)->mutable_ranks()) {
      for (proto::Instruction& instruction : *rank.mutable_instructions()) {
        if (form == "one queue") instruction.set_channel(0);
        if (form != "groups" || instruction.channel() == 0) continue;
        proto::Instruction group;
        group.set_kind(proto::Instruction::GROUP);
        group.set_channel(instruction.channel());
        *group.mutable_after() = instruction.after();
        *group.add_group() = instruction;
        instruction = group;
      }
    }
    ToyDevice device;
    RankGroup group(plan, Options(toy, &device));
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    for (uint64_t step = 0; step < 3; ++step) group.Train(Settings(step));
    if (form == "plain") want = AllWeights(group, plan);
    EXPECT_EQ(AllWeights(group, plan), want) << form;
  }
}

TEST(Worker, KernelsArePreparedOnce) {
  ToyOptions toy;
  toy.stages = 4;
  toy.micro_batches = 5;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok());
  // Mul, loss and its gradient, Accumulate of f32 and of f64, SquaredSums, AdamW with and without decay.
  EXPECT_EQ(device.kernels_made(), 8);
}

TEST(Worker, PacksWeightsAgainAfterEveryChange) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  std::vector<std::vector<float>> want;
  for (const bool packed : {false, true}) {
    toy.packed = packed;
    const proto::ExecutionPlan plan = ToyPlan(toy);
    ToyDevice device;
    RankGroup group(plan, Options(toy, &device));
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    for (uint64_t step = 0; step < 3; ++step) group.Train(Settings(step));
    if (!packed) want = AllWeights(group, plan);
    EXPECT_EQ(AllWeights(group, plan), want);
    // Two weights: at the start and after each of three steps; train and eval share them.
    EXPECT_EQ(device.packs_made(), packed ? 2 * 4 : 0);
    std::vector<float> ones(toy.rows * toy.columns, 1.0f), scores(ones);
    const uint64_t bytes = ones.size() * sizeof(float);
    for (int p = 0; p < 2; ++p) ASSERT_TRUE(group[p].WriteParameter(p, ones.data(), bytes).ok());
    for (const absl::Status& status :
         group.OnEveryRank([](int, Worker& worker) { return worker.RunForward("eval", 0).status(); })) {
      EXPECT_TRUE(status.ok()) << status;
    }
    std::vector<float> features(ones.size());
    ASSERT_TRUE(ToyLoad(toy)(plan.inputs(0), 0, 0, features.data(), bytes).ok());
    ASSERT_TRUE(group[1].ReadOutput("eval", "scores", scores.data(), bytes).ok());
    EXPECT_EQ(scores, features);
  }
}

TEST(Worker, SaysWhatAKernelNeedsBeyondThePlan) {
  ToyOptions toy;
  toy.scratch_bytes = 64;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDeviceOptions hungry;
  hungry.scratch_bytes = 65;
  ToyDevice device(hungry);
  RankGroup group(plan, Options(toy, &device));
  EXPECT_EQ(group.status().code(), absl::StatusCode::kFailedPrecondition);
  for (const char* part : {"65", "64", "Mul0", "RUN 0F0", "rank 0", "partition again"}) {
    EXPECT_THAT(std::string(group.status().message()), HasSubstr(part));
  }
  toy.scratch_bytes = 0;
  toy.packed = true;
  proto::ExecutionPlan unpacked = ToyPlan(toy);
  ToyDevice modest;
  ASSERT_TRUE(RankGroup(unpacked, Options(toy, &modest)).status().ok());
  proto::StageProgram* stage = unpacked.mutable_programs(0)->mutable_stages(0);
  stage->mutable_phases(0)->mutable_calls(0)->set_packed_bytes(59);
  absl::Status status = RankGroup(unpacked, Options(toy, &modest)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("60 bytes of packed weights and the plan gives 59"));
  // Nobody makes the packed weights.
  unpacked = ToyPlan(toy);
  for (proto::Program& program : *unpacked.mutable_programs()) program.mutable_stages(0)->clear_prepare();
  status = RankGroup(unpacked, Options(toy, &modest)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no PREPARE"));
}

TEST(Worker, RefusesBrokenPlans) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan good = ToyPlan(toy);
  ToyDevice device;
  auto create = [&](const proto::ExecutionPlan& plan) { return RankGroup(plan, Options(toy, &device)).status(); };
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
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(0)->set_kind(proto::Instruction::RELEASE);
  EXPECT_EQ(create(plan).code(), absl::StatusCode::kUnimplemented);
  WorkerOptions no_load = Options(toy, &device);
  no_load.load = nullptr;
  EXPECT_EQ(RankGroup(good, no_load).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Worker, AFailedKernelReachesEveryRank) {
  ToyOptions toy;
  toy.stages = 3;
  toy.ranks = 3;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice good;
  ToyDeviceOptions options;
  options.failing_op = "Mul";
  options.failing_run = 5;
  ToyDevice bad(options);
  RankGroup group(plan, Options(toy, &good), {&good, &bad, &good});
  ASSERT_TRUE(group.status().ok());
  group.Start();
  auto train = [](int, Worker& worker) { return worker.TrainStep(Settings(0)).status(); };
  for (int round = 0; round < 2; ++round) {
    for (const absl::Status& status : group.OnEveryRank(train)) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      for (const char* part : {"rank 1", "program train", "RUN 1BW1", "node Mul1", "the toy is broken"}) {
        EXPECT_THAT(std::string(status.message()), HasSubstr(part));
      }
    }
  }
}

TEST(Worker, AFailedLoadReachesEveryRank) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  WorkerOptions options = Options(toy, &device);
  options.load = [load = options.load](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
                                       uint64_t bytes) {
    return micro_batch == 1 ? absl::DataLossError("the file ends here") : load(input, step, micro_batch, memory, bytes);
  };
  RankGroup group(plan, options);
  ASSERT_TRUE(group.status().ok());
  group.Start();
  for (const absl::Status& status :
       group.OnEveryRank([](int, Worker& worker) { return worker.TrainStep(Settings(0)).status(); })) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("LOAD of micro-batch 1"));
  }
}

TEST(Worker, ANonFiniteNormSkipsTheStepEverywhere) {
  ToyOptions toy;
  toy.stages = 3;
  toy.ranks = 3;
  toy.tied = true;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok());
  group.Start();
  group.Train(Settings(0));
  const std::vector<float> good = group.Weights(1);
  std::vector<float> m(good.size()), m_after(good.size());
  const uint64_t bytes = good.size() * sizeof(float);
  ASSERT_TRUE(group[1].ReadState(1, 0, m.data(), bytes).ok());
  std::vector<float> bad = good;
  bad[2] = std::numeric_limits<float>::infinity();
  ASSERT_TRUE(group[1].WriteParameter(1, bad.data(), bytes).ok());
  const StepResult result = group.Train(Settings(1));
  EXPECT_TRUE(result.skipped);
  EXPECT_FALSE(std::isfinite(result.gradient_norm));
  EXPECT_EQ(group.Weights(1), bad);
  ASSERT_TRUE(group[1].ReadState(1, 0, m_after.data(), bytes).ok());
  EXPECT_EQ(m_after, m);
  // The gradients were cleared: the next step is as if the bad one had never been.
  ASSERT_TRUE(group[1].WriteParameter(1, good.data(), bytes).ok());
  EXPECT_FALSE(group.Train(Settings(1)).skipped);
  const std::vector<float> healed = group.Weights(1);
  RankGroup other(plan, Options(toy, &device));
  other.Start();
  other.Train(Settings(0));
  other.Train(Settings(1));
  EXPECT_EQ(healed, other.Weights(1));
}

TEST(Worker, EvalGivesTheLossWhereItIsComputedAndTheScores) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok());
  group.Start();
  std::vector<StepResult> results(2);
  const std::vector<float> before = group.Weights(0);
  for (const absl::Status& status : group.OnEveryRank([&](int rank, Worker&worker) {
         absl::StatusOr<StepResult> result = worker.RunForward("eval", 7);
         if (result.ok()) results[rank] = *result;
         return result.status();
       })) {
    EXPECT_TRUE(status.ok()) << status;
  }
  const ToyHistory want = ToyTraining(toy, {group.Weights(0), group.Weights(1)}, {Settings(7)});
  EXPECT_EQ(results[0].loss_count, 0);
  EXPECT_DOUBLE_EQ(results[1].loss_sum, want.losses[0]);
  EXPECT_EQ(group.Weights(0), before);
  std::vector<float> scores(toy.rows * toy.columns);
  const uint64_t bytes = scores.size() * sizeof(float);
  EXPECT_EQ(group[0].ReadOutput("eval", "scores", scores.data(), bytes).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(group[1].ReadOutput("eval", "scores", scores.data(), 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[1].ReadOutput("eval", "logits", scores.data(), bytes).code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(group[1].ReadOutput("eval", "scores", scores.data(), bytes).ok());
  std::vector<float> features(scores.size());
  ASSERT_TRUE(ToyLoad(toy)(plan.inputs(0), 7, 0, features.data(), bytes).ok());
  const std::vector<float> w0 = group.Weights(0), w1 = group.Weights(1);
  for (size_t i = 0; i < scores.size(); ++i) EXPECT_EQ(scores[i], features[i] * w0[i] * w1[i]);
  EXPECT_EQ(group[0].RunForward("train", 0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].RunForward("nothing", 0).status().code(), absl::StatusCode::kNotFound);
}

TEST(Worker, ParametersAndStatesAreReadAndWritten) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok());
  std::vector<float> values(toy.rows * toy.columns, 3.5f), out(values.size());
  const uint64_t bytes = values.size() * sizeof(float);
  ASSERT_TRUE(group[0].WriteParameter(0, values.data(), bytes).ok());
  ASSERT_TRUE(group[0].ReadParameter(0, out.data(), bytes).ok());
  EXPECT_EQ(out, values);
  ASSERT_TRUE(group[1].WriteState(1, 1, values.data(), bytes).ok());
  ASSERT_TRUE(group[1].ReadState(1, 1, out.data(), bytes).ok());
  EXPECT_EQ(out, values);
  ASSERT_TRUE(group[1].InitializeParameters().ok());
  ASSERT_TRUE(group[1].ReadState(1, 1, out.data(), bytes).ok());
  EXPECT_EQ(out, std::vector<float>(out.size(), 0.0f));
  EXPECT_EQ(group[0].ReadParameter(1, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadParameter(2, out.data(), bytes).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].ReadParameter(0, out.data(), bytes - 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].ReadState(1, 0, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadState(0, 2, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadGradient(0, out.data(), bytes).code(), absl::StatusCode::kFailedPrecondition);
}

// The plan forgets to load the features of micro-batch 1.
TEST(Worker, PoisonShowsWhatIsReadBeforeItIsWritten) {
  ToyOptions toy;
  proto::ExecutionPlan plan = ToyPlan(toy);
  for (proto::Instruction& instruction : *plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions()) {
    if (instruction.kind() == proto::Instruction::LOAD) instruction.mutable_slots(0)->set_slot(0);
  }
  ToyDevice device;
  for (const bool poison : {true, false}) {
    WorkerOptions options = Options(toy, &device);
    options.poison = poison;
    RankGroup group(plan, options);
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    const StepResult result = group.Train(Settings(0));
    EXPECT_EQ(std::isnan(result.loss_sum), poison);
    EXPECT_EQ(result.skipped, poison);
  }
}

TEST(Worker, AStepWithoutLabelsLearnsNothing) {
  ToyOptions toy;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  WorkerOptions options = Options(toy, &device);
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
  const StepResult result = group.Train(Settings(0));
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(result.loss_count, 0);
  EXPECT_EQ(result.gradient_norm, 0);
  EXPECT_EQ(group.Weights(0), before);
}

TEST(Worker, SpansCoverEveryInstruction) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, Options(toy, &device));
  ASSERT_TRUE(group.status().ok());
  group.Start();
  group.Train(Settings(0));
  for (int r = 0; r < 2; ++r) {
    proto::StepTrace trace;
    group[r].AppendSpans(0, &trace);
    ASSERT_EQ(trace.spans_size(), plan.programs(0).ranks(r).instructions_size());
    for (int i = 0; i < trace.spans_size(); ++i) {
      const proto::Span& span = trace.spans(i);
      EXPECT_EQ(span.rank(), r);
      EXPECT_EQ(span.instruction(), i);
      EXPECT_GE(span.end_seconds(), span.start_seconds());
      EXPECT_GE(span.wait_seconds(), 0);
      EXPECT_LE(span.wait_seconds(), span.end_seconds() - span.start_seconds() + 1e-6);
    }
  }
}

}  // namespace
}  // namespace millrace
