// The search against the whole space, its determinism, and what it says where nothing fits.
#include "partitioner/search/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

using ::testing::HasSubstr;

SearchQuestion Small(int64_t devices, int64_t batch, double memory) {
  SearchQuestion q;
  q.model = {.layers = 6, .hidden = 1024, .heads = 8, .sequence = 512, .vocabulary = 8192};
  q.machine.devices = devices;
  q.machine.devices_per_host = 4;
  q.machine.device.memory_bytes = memory;
  q.global_batch = batch;
  return q;
}

// Every configuration made, verified and played.
double FastestOfAll(const SearchQuestion& q, int* fitting) {
  WorkModel model(q.model, q.machine);
  double best = std::numeric_limits<double>::infinity();
  for (const Configuration& c : EveryConfiguration(q)) {
    const absl::StatusOr<SimulatedStep> step = SimulateStep(c, &model);
    EXPECT_EQ(step.status(), absl::OkStatus()) << c.ToString();
    if (!step.ok() || step->memory_bytes > q.machine.device.memory_bytes) continue;
    ++*fitting;
    best = std::min(best, step->seconds.step);
  }
  return best;
}

TEST(Search, EqualsTheWholeSpace) {
  for (int64_t devices : {1, 4, 6, 8, 16}) {
    for (int64_t batch : {4, 12}) {
      for (double memory : {0.35e9, 0.5e9, 0.65e9, 0.8e9, 8e9}) {
        SearchQuestion q = Small(devices, batch, memory);
        q.simulations = 1000000;
        int fitting = 0;
        const double best = FastestOfAll(q, &fitting);
        const absl::StatusOr<SearchAnswer> answer = Search(q);
        if (fitting == 0) {
          EXPECT_EQ(answer.status().code(), absl::StatusCode::kResourceExhausted);
          continue;
        }
        ASSERT_EQ(answer.status(), absl::OkStatus()) << devices << " " << batch << " " << memory;
        EXPECT_TRUE(answer->proven);
        EXPECT_EQ(answer->ranked[0].seconds(), best) << answer->ranked[0].configuration.ToString();
      }
    }
  }
}

TEST(Search, BoundsHold) {
  const SearchQuestion q = Small(8, 12, 8e9);
  WorkModel model(q.model, q.machine);
  int checked = 0;
  for (const Configuration& c : EveryConfiguration(q)) {
    const Estimate estimate = EstimateStep(c, &model);
    const SimulatedStep step = *SimulateStep(c, &model);
    EXPECT_LE(estimate.bound, step.seconds.step * (1 + 1e-12)) << c.ToString();
    EXPECT_LE(estimate.bound, estimate.seconds.step * (1 + 1e-12)) << c.ToString();
    EXPECT_GE(estimate.memory_bytes, step.memory_bytes * (1 - 1e-12)) << c.ToString();
    EXPECT_LE(estimate.least_memory_bytes, step.memory_bytes * (1 + 1e-12)) << c.ToString();
    const StepSeconds& s = step.seconds;
    EXPECT_NEAR(s.compute + s.tensor_parallel + s.bubble + s.reduction + s.optimizer, s.step, 1e-9 * s.step);
    ++checked;
  }
  EXPECT_GT(checked, 500);
}

// Schedules whose memory only a simulation can tell do not hide one that surely fits.
TEST(Search, FindsTheOneThatFits) {
  SearchQuestion q;
  q.model = {.layers = 128, .hidden = 25600, .heads = 160, .sequence = 2048, .vocabulary = 51200};
  q.machine.devices = 3072;
  q.machine.device.memory_bytes = 77e9;
  q.global_batch = 3072;
  q.tensor_parallel = 8;
  q.pipeline = 4;
  const absl::StatusOr<SearchAnswer> answer = Search(q);
  ASSERT_EQ(answer.status(), absl::OkStatus());
  EXPECT_LE(answer->ranked[0].simulated->memory_bytes, 77e9);
  EXPECT_GE(answer->ranked[0].configuration.sharding, 2);
}

TEST(Search, RunnersUpHaveReasons) {
  const SearchQuestion q = Small(16, 12, 0.35e9);
  const SearchAnswer answer = *Search(q);
  ASSERT_GT(answer.ranked.size(), 3u);
  EXPECT_EQ(answer.ranked[0].lost, "");
  for (size_t i = 1; i < answer.ranked.size(); ++i) {
    EXPECT_GE(answer.ranked[i].seconds(), answer.ranked[i - 1].seconds());
    EXPECT_NE(answer.ranked[i].lost, "");
  }
  ASSERT_FALSE(answer.too_large.empty());
  EXPECT_THAT(answer.too_large[0].lost, HasSubstr("more than there is"));
}

TEST(Search, WhatIsFixedStays) {
  SearchQuestion q = Small(16, 12, 8e9);
  q.tensor_parallel = 2;
  q.pipeline = 3;
  q.micro_batch = 2;
  q.schedule = SearchedSchedule::kZbH1;
  q.recompute = ActivationRecompute::kSelective;
  const SearchAnswer answer = *Search(q);
  for (const Candidate& candidate : answer.ranked) {
    const Configuration& c = candidate.configuration;
    EXPECT_EQ(c.tensor_parallel, 2);
    EXPECT_EQ(c.pipeline, 3);
    EXPECT_EQ(c.micro_batch, 2);
    EXPECT_EQ(c.schedule, SearchedSchedule::kZbH1);
    EXPECT_EQ(c.recompute, ActivationRecompute::kSelective);
  }
}

TEST(Search, SaysWhatIsMissing) {
  SearchQuestion q = Small(2, 12, 0.05e9);
  absl::Status status = Search(q).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("GB are missing"));
  EXPECT_THAT(status.message(), HasSubstr("use more devices or larger ones"));
  q = Small(4, 12, 0.5e9);
  q.pipeline = 1;
  q.tensor_parallel = 1;
  q.sharding = 0;
  status = Search(q).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("It fits with"));
  EXPECT_THAT(status.message(), HasSubstr("the number of stages free"));
}

TEST(Search, NonsenseIsNamed) {
  EXPECT_THAT(Search(Small(4, 0, 8e9)).status().message(), HasSubstr("the global batch is 0"));
  EXPECT_THAT(Search(Small(0, 4, 8e9)).status().message(), HasSubstr("has 0 devices"));
  SearchQuestion q = Small(4, 5, 8e9);
  q.machine.device.peak_flops = 1e-300;
  EXPECT_THAT(Search(q).status().message(), HasSubstr("check flops_per_second"));
  q = Small(4, 5, 8e9);
  q.machine.inside_latency = std::numeric_limits<double>::max();
  EXPECT_EQ(Search(q)->ranked[0].configuration.devices(), 1);
  q = Small(4, 5, 8e9);
  q.micro_batch = 2;
  EXPECT_THAT(Search(q).status().message(), HasSubstr("must divide the batch"));
}

TEST(Search, OneTrillionOn3072) {
  SearchQuestion q;
  q.model = {.layers = 128, .hidden = 25600, .heads = 160, .sequence = 2048, .vocabulary = 51200};
  q.machine.devices = 3072;
  q.machine.device.memory_bytes = 77e9;
  q.global_batch = 3072;
  const SearchAnswer answer = *Search(q), again = *Search(q);
  const Candidate& best = answer.ranked[0];
  std::printf("%s: %.2f s, %.1f GB; %lld shapes, %lld pruned, %lld estimated, proven %d\n",
              best.configuration.ToString().c_str(), best.seconds(), best.simulated->memory_bytes / 1e9,
              static_cast<long long>(answer.shapes), static_cast<long long>(answer.shapes_pruned),
              static_cast<long long>(answer.estimated), answer.proven);
  EXPECT_LE(best.simulated->memory_bytes, 77e9);
  ASSERT_EQ(answer.ranked.size(), again.ranked.size());
  for (size_t i = 0; i < answer.ranked.size(); ++i) {
    EXPECT_EQ(answer.ranked[i].configuration, again.ranked[i].configuration);
    EXPECT_EQ(answer.ranked[i].seconds(), again.ranked[i].seconds());
  }
  // The published run of this size: no slower than that.
  Configuration published;
  published.tensor_parallel = 8;
  published.pipeline = 64;
  published.replicas = 6;
  published.micro_batches = 512;
  published.recompute = ActivationRecompute::kFull;
  WorkModel model(q.model, q.machine);
  EXPECT_LT(best.seconds(), SimulateStep(published, &model)->seconds.step);
}

}  // namespace
}  // namespace millrace
