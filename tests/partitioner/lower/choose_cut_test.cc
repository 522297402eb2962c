// Cuts of whole plans: what fits the devices is found, what is pinned stays, and another order than the graph's runs.
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "partitioner/graph/builder.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/mlp.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

using Plan = absl::StatusOr<proto::ExecutionPlan>;

// Last nodes of the units, from the cut with a stage for each of them.
std::vector<std::string> UnitsOf(const proto::Model& model) {
  std::vector<std::string> names;
  std::string rows;
  // A stage for each unit: as many stages as can be had.
  for (int units = 64; units > 0; --units) {
    PartitionOptions many = OptionsFor(units, 1);
    many.cut = "even";
    many.dump = [&rows](absl::string_view pass, const std::string& text) {
      if (pass == "cut") rows = text;
    };
    if (Partition(model, many, MadeUpNeeds).ok()) break;
  }
  size_t at = rows.find('\n') + 1;
  while (at < rows.size()) {
    const size_t end = rows.find('\n', at);
    const std::string row = rows.substr(at, end - at);
    names.push_back(row.substr(row.rfind("  ") + 2));
    at = end + 1;
  }
  return names;
}

uint64_t LargestArena(const proto::ExecutionPlan& plan) {
  uint64_t largest = 0;
  for (const proto::Rank& rank : plan.ranks()) largest = std::max<uint64_t>(largest, rank.arena_bytes());
  return largest;
}

void LimitMemory(uint64_t bytes, PartitionOptions* options) {
  for (proto::ClusterDevice& device : *options->cluster.mutable_devices()) device.set_memory_bytes(bytes);
}

struct Case {
  std::string name;
  proto::Model model;
  std::string schedule;
};

std::vector<Case> Cases() {
  const proto::Model gpt2 = MakeGpt2({.layers = 2, .heads = 2, .width = 16, .vocabulary = 300, .context = 16}).value();
  const proto::Model mlp = MakeMlp({.layers = 6, .features = 64, .width = 48, .classes = 10}).value();
  return {{"gpt2 1f1b", gpt2, "1f1b"},
          {"gpt2 gpipe", gpt2, "gpipe"},
          {"mlp zb-h1", mlp, "zb-h1"},
          {"mlp 1f1b", mlp, "1f1b"},
          {"skip", SkipNet(), "1f1b"}};
}

// The largest arena of every cut of the graph's own order; the smallest of these.
uint64_t LeastArena(const Case& c, const PartitionOptions& options, const std::vector<std::string>& units) {
  uint64_t least = UINT64_MAX;
  PartitionOptions by_hand = options;
  by_hand.cut = "by-hand";
  by_hand.cut_after.clear();
  const std::function<void(size_t)> extend = [&](size_t next) {
    if (static_cast<int>(by_hand.cut_after.size()) + 1 == options.pp) {
      const Plan plan = Partition(c.model, by_hand, MadeUpNeeds);
      EXPECT_TRUE(plan.ok()) << c.name << ": " << plan.status();
      if (plan.ok()) least = std::min(least, LargestArena(*plan));
      return;
    }
    for (size_t u = next; u + 1 < units.size(); ++u) {
      by_hand.cut_after.push_back(units[u]);
      extend(u + 1);
      by_hand.cut_after.pop_back();
    }
  };
  extend(0);
  return least;
}

TEST(ChooseCutTest, FindsACutThatFitsWhereThereIsOne) {
  int tight = 0;
  for (const Case& c : Cases()) {
    const std::vector<std::string> units = UnitsOf(c.model);
    ASSERT_GT(units.size(), 3u);
    for (const int pp : {2, 3}) {
      PartitionOptions options = OptionsFor(pp, 4, c.schedule);
      options.with_eval = options.with_logits = false;
      const uint64_t least = LeastArena(c, options, units);
      const Plan unlimited = Partition(c.model, options, MadeUpNeeds);
      ASSERT_TRUE(unlimited.ok());
      const uint64_t free = LargestArena(*unlimited);
      tight += free > least;
      for (const uint64_t limit : {least, least + (free - least) / 4, least + (free - least) / 2, free - 1}) {
        if (limit < least) continue;
        LimitMemory(limit, &options);
        const Plan plan = Partition(c.model, options, MadeUpNeeds);
        EXPECT_TRUE(plan.ok()) << c.name << " pp " << pp << ", " << limit << " bytes, least " << least << ", free "
                               << free << ": " << plan.status();
        if (!plan.ok()) continue;
        EXPECT_LE(LargestArena(*plan), limit);
        EXPECT_TRUE(VerifyPlan(*plan).ok());
      }
      LimitMemory(least / 2, &options);
      const absl::Status status = Partition(c.model, options, MadeUpNeeds).status();
      EXPECT_TRUE(absl::IsResourceExhausted(status)) << c.name << status;
      EXPECT_TRUE(absl::StrContains(status.message(), " more than its ")) << status;
    }
  }
  EXPECT_GE(tight, 4);  // the cut by time alone is not the one of least memory
}

TEST(ChooseCutTest, DevicesOfDifferentMemory) {
  const proto::Model model = MakeGpt2({.layers = 4, .heads = 2, .width = 32, .vocabulary = 64, .context = 16}).value();
  for (const int small : {0, 1, 2}) {
    PartitionOptions options = OptionsFor(3, 4);
    options.with_eval = options.with_logits = false;
    const Plan unlimited = Partition(model, options, MadeUpNeeds);
    ASSERT_TRUE(unlimited.ok()) << unlimited.status();
    const uint64_t limit = unlimited->ranks(small).arena_bytes() * 2 / 3;
    options.cluster.mutable_devices(small)->set_memory_bytes(limit);
    const Plan plan = Partition(model, options, MadeUpNeeds);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_LE(plan->ranks(small).arena_bytes(), limit);
  }
}

TEST(ChooseCutTest, FitsWithSeveralStagesOnARank) {
  const proto::Model model = MakeGpt2({.layers = 6, .heads = 2, .width = 32, .vocabulary = 64, .context = 16}).value();
  PartitionOptions options = OptionsFor(2, 4, "interleaved");
  options.with_eval = options.with_logits = false;
  const Plan unlimited = Partition(model, options, MadeUpNeeds);
  ASSERT_TRUE(unlimited.ok()) << unlimited.status();
  const int heavy = unlimited->ranks(0).arena_bytes() > unlimited->ranks(1).arena_bytes() ? 0 : 1;
  const uint64_t limit = unlimited->ranks(heavy).arena_bytes() * 9 / 10;
  options.cluster.mutable_devices(heavy)->set_memory_bytes(limit);
  const Plan plan = Partition(model, options, MadeUpNeeds);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->ranks(heavy).arena_bytes(), limit);
}

std::map<std::string, int> StageOfNode(const proto::ExecutionPlan& plan) {
  std::map<std::string, int> stage_of;
  for (int s = 0; s < plan.programs(0).stages_size(); ++s) {
    for (const std::string& node : plan.programs(0).stages(s).nodes()) stage_of[node] = s;
  }
  return stage_of;
}

// Two towers of linear layers over the same input that meet before the loss: in the graph's order one after the other.
proto::Model TwoTowers() {
  GraphBuilder b("towers");
  const std::string x = b.Input("x", {-1, 16}, proto::F32, proto::Input::FEATURES);
  const std::string labels = b.Input("labels", {-1}, proto::I64, proto::Input::LABELS);
  std::vector<std::string> ends;
  for (const char* tower : {"left", "right"}) {
    std::string y = x;
    for (int i = 0; i < 3; ++i) y = b.Relu(b.Linear(std::string(tower) + "." + std::to_string(i), y, 16, 16));
    ends.push_back(y);
  }
  b.SoftmaxCrossEntropy(b.Linear("head", b.Add(ends[0], ends[1]), 16, kTestVocabulary), labels);
  return b.Finish().value();
}

TEST(ChooseCutTest, PinnedNodesStayAndTheOthersAreChosen) {
  const proto::Model model = TwoTowers();
  for (const char* cut : {"balanced", "exact"}) {
    PartitionOptions options = OptionsFor(3, 4);
    options.cut = cut;
    // Against the graph's order: the right tower begins where the left one has only just begun.
    options.pinned = {{"left.0", 0}, {"left.1", 1}, {"right.0", 0}, {"right.2", 1}, {"left.2", 2}};
    const Plan plan = Partition(model, options, MadeUpNeeds);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_TRUE(VerifyPlan(*plan).ok()) << VerifyPlan(*plan);
    const std::map<std::string, int> stage_of = StageOfNode(*plan);
    for (const Pin& pin : options.pinned) {
      ASSERT_TRUE(stage_of.contains(pin.node)) << pin.node;
      EXPECT_EQ(stage_of.at(pin.node), pin.stage) << pin.node;
    }
  }
}

TEST(ChooseCutTest, PinsThatCannotBeKept) {
  const auto refused = [](const std::vector<Pin>& pins, absl::StatusCode code, const std::string& part) {
    PartitionOptions options = OptionsFor(3, 4);
    options.pinned = pins;
    const Plan plan = Partition(TwoTowers(), options, MadeUpNeeds);
    EXPECT_EQ(plan.status().code(), code) << plan.status();
    EXPECT_TRUE(absl::StrContains(plan.status().message(), part)) << plan.status();
  };
  refused({{"left.9", 0}}, absl::StatusCode::kInvalidArgument, "no node is named 'left.9'");
  refused({{"left.0", 3}}, absl::StatusCode::kInvalidArgument, "the stages are 0 to 2");
  refused({{"left.2", 0}, {"left.0", 1}}, absl::StatusCode::kInvalidArgument,
          "'left.2' to stage 0 and 'left.0' to stage 1");
  refused({{"head", 0}}, absl::StatusCode::kFailedPrecondition, "no cut into 3 stages keeps every node");
  PartitionOptions options = OptionsFor(3, 4);
  options.pinned = {{"left.0", 0}};
  options.cut = "even";
  EXPECT_FALSE(Partition(TwoTowers(), options, MadeUpNeeds).ok());
}

TEST(ChooseCutTest, ExactTakesEveryModelAndIsNeverSlower) {
  for (const NamedModel& named : AllTestModels()) {
    for (const int pp : {2, 3}) {
      PartitionOptions options = OptionsFor(pp, 4);
      options.cut = "exact";
      const Plan exact = Partition(named.model, options, MadeUpNeeds);
      if (!exact.ok()) {
        // Too many down-sets, or too few units: said so.
        EXPECT_TRUE(absl::StrContains(exact.status().message(), "down-sets") ||
                    absl::StrContains(exact.status().message(), "units"))
            << named.name << exact.status();
        continue;
      }
      EXPECT_TRUE(VerifyPlan(*exact).ok()) << named.name << VerifyPlan(*exact);
      EXPECT_EQ(exact->cut(), "exact");
    }
  }
}

}  // namespace
}  // namespace millrace
