// The worker on the reference backend: hand-made plans of runtime/plan's tests, with slots that are used again and
// again, and the toy against plain loops.
#include "kernels/reference/reference.h"

#include <cmath>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/plan/tiny_plan.h"
#include "tests/runtime/worker/rank_group.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

std::unique_ptr<Device> Reference() {
  absl::StatusOr<std::unique_ptr<Device>> device = OpenReference({});
  EXPECT_TRUE(device.ok()) << device.status();
  return *std::move(device);
}

StepSettings Settings(uint64_t step) {
  StepSettings settings;
  settings.step = step;
  settings.optimizer_step = step + 1;
  settings.learning_rate = 0.05;
  settings.weight_decay = 0.1;
  settings.momentum = 0.9;
  settings.nesterov = true;
  settings.clip_norm = 0.3;
  return settings;
}

struct Curve {
  std::vector<double> losses, norms;
  std::vector<std::vector<float>> weights;
  friend bool operator==(const Curve&, const Curve&) = default;
};

Curve Train(const proto::ExecutionPlan& plan, LoadFn load, int steps) {
  std::unique_ptr<Device> device = Reference();
  WorkerOptions options;
  options.device = device.get();
  options.load = std::move(load);
  options.poison = true;
  Curve curve;
  RankGroup group(plan, options);
  EXPECT_TRUE(group.status().ok()) << group.status();
  if (!group.status().ok()) return curve;
  group.Start();
  for (int step = 0; step < steps; ++step) {
    const StepResult result = group.Train(Settings(step));
    EXPECT_FALSE(result.skipped);
    curve.losses.push_back(result.loss_sum);
    curve.norms.push_back(result.gradient_norm);
  }
  for (int p = 0; p < plan.parameters_size(); ++p) curve.weights.push_back(group.Weights(p));
  return curve;
}

TEST(WorkerOnReference, TrainsLikePlainLoops) {
  for (const char* optimizer : {"adamw", "sgd"}) {
    ToyOptions toy;
    toy.stages = toy.ranks = 3;
    toy.tied = true;
    toy.optimizer = optimizer;
    const proto::ExecutionPlan plan = ToyPlan(toy);
    std::vector<std::vector<float>> first;
    first = Train(plan, ToyLoad(toy), 0).weights;
    const Curve curve = Train(plan, ToyLoad(toy), 3);
    const ToyHistory want = ToyTraining(toy, first, {Settings(0), Settings(1), Settings(2)});
    for (int step = 0; step < 3; ++step) {
      EXPECT_NEAR(curve.losses[step], want.losses[step], 1e-5);
      EXPECT_NEAR(curve.norms[step], want.norms[step], 1e-6);
    }
    for (size_t p = 0; p < first.size(); ++p) {
      for (size_t i = 0; i < first[p].size(); ++i) EXPECT_NEAR(curve.weights[p][i], want.weights[p][i], 1e-5);
    }
  }
}

TEST(WorkerOnReference, CutsChangeNoBit) {
  std::vector<Curve> curves;
  for (int ranks : {1, 2, 3, 4}) {
    ToyOptions toy;
    toy.stages = 4;
    toy.ranks = ranks;
    toy.tied = true;
    toy.micro_batches = 5;
    curves.push_back(Train(ToyPlan(toy), ToyLoad(toy), 4));
    EXPECT_EQ(curves.back(), curves.front()) << ranks;
  }
}

// 1F1B and GPipe, W apart or together with B: the same numbers.
TEST(WorkerOnReference, SchedulesChangeNoBit) {
  for (int stages : {2, 3, 4}) {
    std::vector<Curve> curves;
    for (const bool gpipe : {false, true}) {
      for (const bool split : {true, false}) {
        TinyPlanOptions options;
        options.stages = stages;
        options.micro_batches = 6;
        options.gpipe = gpipe;
        options.split = split;
        proto::ExecutionPlan plan = TinyPlan(options);
        plan.set_norm_block_elements(3);
        if (plan.inputs().empty()) plan.add_inputs()->set_name("x");
        const LoadFn load = [](const proto::Input&, uint64_t step, uint32_t micro_batch, void* memory, uint64_t bytes) {
          float* x = static_cast<float*>(memory);
          for (uint64_t i = 0; i < bytes / sizeof(float); ++i) {
            x[i] = 0.25f + static_cast<float>((step * 5 + micro_batch * 3 + i * 7) % 11) / 8;
          }
          return absl::OkStatus();
        };
        curves.push_back(Train(plan, load, 3));
        EXPECT_EQ(curves.back(), curves.front()) << stages << " stages, gpipe " << gpipe << ", split " << split;
        for (double loss : curves.back().losses) EXPECT_TRUE(std::isfinite(loss));
      }
    }
    EXPECT_NE(curves[0].losses[0], curves[0].losses[1]);
  }
}

}  // namespace
}  // namespace millrace
