// What zero-bubble and V schedules save in real plans: the planned bytes of the stash, against 1F1B's.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/schedule/make_schedule.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"

namespace millrace {
namespace {

constexpr int kRanks = 8, kMicroBatches = 32;

// Planned, never allocated: the layers of GPT-2 124M, as many as divide among 16 stages.
proto::Model Gpt2(int64_t layers, int64_t vocabulary) {
  return MakeGpt2({.layers = layers, .vocabulary = vocabulary}).value();
}

// Slots times strides of what a rank keeps for its own backward passes.
struct Stash {
  uint64_t largest = 0, total = 0;
};

Stash StashOf(const proto::ExecutionPlan& plan) {
  Stash stash;
  for (const proto::RankProgram& rank : plan.programs(0).ranks()) {
    uint64_t bytes = 0;
    for (const proto::Pool& pool : rank.pools()) {
      if (absl::StartsWith(proto::Life_Name(pool.life()), "STASH_")) bytes += pool.stride() * pool.slots();
    }
    stash.largest = std::max(stash.largest, bytes);
    stash.total += bytes;
  }
  return stash;
}

// The cut is even in layers, so that schedules are what is compared.
Stash Plan(const proto::Model& model, int layers, const std::string& kind, const std::string& recompute) {
  PartitionOptions options = OptionsFor(kRanks, kMicroBatches, kind);
  const int stages = Partition(MakeGpt2({.layers = 32, .heads = 1, .width = 8, .vocabulary = 8, .context = 4}).value(),
                               options, MadeUpNeeds)
                         .value()
                         .programs(0)
                         .stages_size();
  options.micro_batch = 1;
  options.with_eval = options.with_logits = false;
  options.recompute = recompute;
  options.cut = "by-hand";
  for (int s = 1; s < stages; ++s) {
    options.cut_after.push_back(absl::StrCat("h.", s * layers / stages - 1, ".mlp.c_proj"));
  }
  const auto plan = Partition(model, options, MadeUpNeeds);
  EXPECT_TRUE(plan.ok()) << kind << plan.status();
  if (!plan.ok()) return {};
  EXPECT_TRUE(VerifyPlan(*plan).ok()) << kind << VerifyPlan(*plan);
  return StashOf(*plan);
}

// By kind: the largest rank's bytes, as a share of 1F1B's.
std::map<std::string, double> Ratios(int layers, int64_t vocabulary, const std::string& recompute) {
  const proto::Model model = Gpt2(layers, vocabulary);
  const Stash base = Plan(model, layers, "1f1b", recompute);
  std::printf("%d layers, vocabulary %d, recompute %s: 1F1B's largest rank %.0f MB, mean %.0f MB\n", layers,
              static_cast<int>(vocabulary), recompute.c_str(), 1e-6 * base.largest, 1e-6 * base.total / kRanks);
  std::map<std::string, double> ratios;
  for (const std::string& kind : ScheduleKinds()) {
    const Stash stash = Plan(model, layers, kind, recompute);
    ratios[kind] = static_cast<double>(stash.largest) / static_cast<double>(base.largest);
    std::printf("  %-12s largest rank %.3f, mean %.3f of 1F1B's largest\n", kind.c_str(), ratios[kind],
                static_cast<double>(stash.total) / kRanks / static_cast<double>(base.largest));
  }
  return ratios;
}

TEST(StashTest, ZeroBubbleAndVSchedulesHoldWhatTheyPromise) {
  for (int layers : {16, 32}) {
    std::map<std::string, double> ratio = Ratios(layers, 512, "none");
    EXPECT_LE(ratio["zb-h1"], 1.1) << layers;
    EXPECT_LE(ratio["v-half"], 0.65) << layers;
    EXPECT_LE(ratio["v-min"], 0.5) << layers;
    EXPECT_GT(ratio["zb-h2"], ratio["zb-h1"]) << layers;
  }
}

// For information: the vocabulary makes the last stage slower than the others, which the schedules are not made for.
TEST(StashTest, WithAWholeVocabulary) {
  std::map<std::string, double> ratio = Ratios(16, 50257, "none");
  EXPECT_LE(ratio["zb-h1"], 1.1);
  EXPECT_LT(ratio["v-half"], 1);
  EXPECT_LT(ratio["v-min"], ratio["v-half"]);
}

// For information: what W needs of a recomputed stage is kept from B to W, so that splitting B and W costs more here.
TEST(StashTest, Recomputed) {
  const Stash kept = Plan(Gpt2(16, 512), 16, "1f1b", "none"), again = Plan(Gpt2(16, 512), 16, "1f1b", "all");
  EXPECT_LT(10 * again.largest, kept.largest);
  Ratios(16, 512, "all");
}

}  // namespace
}  // namespace millrace
