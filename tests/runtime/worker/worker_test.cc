#include "runtime/worker/worker.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/worker/rank_group.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_options.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

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
  RankGroup group(plan, ToyWorker(toy, &device));
  ASSERT_TRUE(group.status().ok()) << group.status();
  group.Start();
  for (int r = 0; r < group.size(); ++r) group[r].KeepGradients(true);
  const std::vector<std::vector<float>> first = AllWeights(group, plan);
  std::vector<StepSettings> steps;
  std::vector<StepResult> results;
  for (uint64_t step = 0; step < 4; ++step) {
    steps.push_back(ToySettings(step));
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
      RankGroup group(plan, ToyWorker(toy, &device));
      ASSERT_TRUE(group.status().ok()) << group.status();
      group.Start();
      std::vector<double> losses, norms;
      for (uint64_t step = 0; step < 5; ++step) {
        const StepResult result = group.Train(ToySettings(step));
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
    RankGroup group(plan, ToyWorker(toy, &device));
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    for (uint64_t step = 0; step < 3; ++step) group.Train(ToySettings(step));
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
  RankGroup group(plan, ToyWorker(toy, &device));
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
    proto::ExecutionPlan plan = ToyPlan(toy);
    // Equal packings may be listed by one program only.
    for (proto::StageProgram& stage : *plan.mutable_programs(1)->mutable_stages()) stage.clear_prepare();
    ToyDevice device;
    RankGroup group(plan, ToyWorker(toy, &device));
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    for (uint64_t step = 0; step < 3; ++step) group.Train(ToySettings(step));
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

// Packs made before STEP are no newer than the weights were: the PREPARE after it is what counts.
TEST(Worker, PacksWeightsAsTheyStand) {
  ToyOptions toy;
  toy.stages = toy.ranks = 1;
  toy.packed = true;
  std::vector<std::vector<float>> want;
  for (const bool early : {false, true}) {
    proto::ExecutionPlan plan = ToyPlan(toy);
    auto* list = plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions();
    const auto is = [](proto::Instruction::Kind kind) { return [kind](const auto& i) { return i.kind() == kind; }; };
    const int norm = std::find_if(list->begin(), list->end(), is(proto::Instruction::NORM)) - list->begin();
    const auto prepare = std::find_if(list->begin(), list->end(), is(proto::Instruction::PREPARE));
    ASSERT_NE(prepare, list->end());
    ASSERT_GT(prepare - list->begin(), norm);
    if (early) {
      const proto::Instruction again = *prepare;
      *list->Add() = again;
      list->Mutable(list->size() - 1)->clear_after();
      for (int i = list->size() - 1; i > norm + 1; --i) {
        list->SwapElements(i, i - 1);
        for (uint32_t& after : *list->Mutable(i)->mutable_after()) after += after > static_cast<uint32_t>(norm);
      }
    }
    ToyDevice device;
    RankGroup group(plan, ToyWorker(toy, &device));
    ASSERT_TRUE(group.status().ok()) << group.status();
    group.Start();
    for (uint64_t step = 0; step < 3; ++step) group.Train(ToySettings(step));
    if (!early) want = AllWeights(group, plan);
    EXPECT_EQ(AllWeights(group, plan), want);
  }
}

TEST(Worker, EvalGivesTheLossWhereItIsComputedAndTheScores) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, ToyWorker(toy, &device));
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
  const ToyHistory want = ToyTraining(toy, {group.Weights(0), group.Weights(1)}, {ToySettings(7)});
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
  RankGroup group(plan, ToyWorker(toy, &device));
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
  std::vector<float> two(2);
  ASSERT_TRUE(group[0].ReadRange(0, -1, bytes - 8, two.data(), 8).ok());
  EXPECT_EQ(two, std::vector<float>(2, 3.5f));
  EXPECT_EQ(group[0].ReadRange(0, -1, bytes - 4, two.data(), 8).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].ReadRange(1, -1, 0, two.data(), 8).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadParameter(1, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadParameter(2, out.data(), bytes).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].ReadParameter(0, out.data(), bytes - 4).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group[0].ReadState(1, 0, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadState(0, 2, out.data(), bytes).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(group[0].ReadGradient(0, out.data(), bytes).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Worker, SpansCoverEveryInstruction) {
  ToyOptions toy;
  toy.stages = 2;
  toy.ranks = 2;
  const proto::ExecutionPlan plan = ToyPlan(toy);
  ToyDevice device;
  RankGroup group(plan, ToyWorker(toy, &device));
  ASSERT_TRUE(group.status().ok());
  group.Start();
  group.Train(ToySettings(0));
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
