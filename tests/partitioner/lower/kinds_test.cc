// Schedules asked for by name: every kind becomes a plan that verifies; "auto" takes the best that fits.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/schedule/make_schedule.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"

namespace millrace {
namespace {

proto::Model Gpt2() {
  return MakeGpt2({.layers = 8, .heads = 4, .width = 64, .vocabulary = 100, .context = 32}).value();
}

TEST(KindsTest, EveryKindMakesAPlanThatVerifies) {
  const proto::Model model = Gpt2();
  for (const std::string& kind : ScheduleKinds()) {
    for (int pp : {1, 2, 4}) {
      const auto plan = Partition(model, OptionsFor(pp, 8, kind), MadeUpNeeds);
      ASSERT_TRUE(plan.ok()) << kind << " pp " << pp << ": " << plan.status();
      EXPECT_TRUE(VerifyPlan(*plan).ok()) << kind << " pp " << pp << ": " << VerifyPlan(*plan);
      EXPECT_EQ(plan->programs(0).schedule(), kind);
      EXPECT_EQ(plan->programs(0).ranks_size(), pp);
    }
  }
}

TEST(KindsTest, ChunksAreStagesOfARank) {
  PartitionOptions options = OptionsFor(2, 4, "interleaved");
  options.chunks = 3;
  const auto plan = Partition(Gpt2(), options, MadeUpNeeds);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->programs(0).stages_size(), 6);
  options.schedule = "1f1b";
  EXPECT_EQ(Partition(Gpt2(), options, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
  options.schedule = "interleaved";
  options.chunks = -1;
  EXPECT_EQ(Partition(Gpt2(), options, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
}

struct Chosen {
  proto::ExecutionPlan plan;
  std::vector<ScheduleChoice> choices;
};

Chosen Choose(uint64_t memory) {
  Chosen chosen;
  PartitionOptions options = OptionsFor(4, 8, "auto");
  for (auto& device : *options.cluster.mutable_devices()) device.set_memory_bytes(memory);
  options.considered = [&](const std::vector<ScheduleChoice>& choices) { chosen.choices = choices; };
  const auto plan = Partition(Gpt2(), options, MadeUpNeeds);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (plan.ok()) chosen.plan = *plan;
  return chosen;
}

TEST(KindsTest, AutoTakesTheShortestStepThatFits) {
  const Chosen free = Choose(0);
  ASSERT_EQ(free.choices.size(), ScheduleKinds().size());
  EXPECT_EQ(free.choices[0].kind, free.plan.programs(0).schedule());
  EXPECT_DOUBLE_EQ(free.choices[0].seconds, free.plan.programs(0).predicted_seconds());
  uint64_t least = free.choices[0].largest_arena, most = 0;
  for (const ScheduleChoice& choice : free.choices) {
    EXPECT_TRUE(choice.status.ok()) << choice.kind << choice.status;
    EXPECT_GE(choice.seconds, free.choices[0].seconds * (1 - 1e-6)) << choice.kind;
    least = std::min(least, choice.largest_arena);
    most = std::max(most, choice.largest_arena);
  }
  ASSERT_LT(least, free.choices[0].largest_arena) << "the best one must not also be the smallest for what follows";
  // With just enough for the most frugal one, the others are told as not to be had, last.
  const Chosen tight = Choose(least);
  EXPECT_EQ(tight.choices[0].largest_arena, least);
  EXPECT_NE(tight.choices[0].kind, free.choices[0].kind);
  EXPECT_TRUE(absl::IsResourceExhausted(tight.choices.back().status)) << tight.choices.back().status;
}

TEST(KindsTest, AutoSaysWhyNothingFits) {
  PartitionOptions options = OptionsFor(2, 4, "auto");
  for (auto& device : *options.cluster.mutable_devices()) device.set_memory_bytes(1 << 16);
  EXPECT_TRUE(absl::IsResourceExhausted(Partition(Gpt2(), options, MadeUpNeeds).status()));
  options.memory_limit = 2;
  EXPECT_EQ(Partition(Gpt2(), options, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
}

uint64_t LargestArena(const proto::ExecutionPlan& plan) {
  uint64_t largest = 0;
  for (const proto::Rank& rank : plan.ranks()) largest = std::max(largest, rank.arena_bytes());
  return largest;
}

void LimitMemory(uint64_t bytes, PartitionOptions* options) {
  for (auto& device : *options->cluster.mutable_devices()) device.set_memory_bytes(bytes);
}

// The value of a flag in a message, empty where it has none.
std::string FlagIn(absl::string_view text, absl::string_view flag) {
  const size_t at = text.find(flag);
  if (at == absl::string_view::npos) return "";
  const absl::string_view rest = text.substr(at + flag.size());
  return std::string(rest.substr(0, rest.find_first_of(" ;")));
}

TEST(KindsTest, SaysHowMuchIsMissingAndWhatWouldFit) {
  const proto::Model model = Gpt2();
  PartitionOptions options = OptionsFor(4, 8);
  options.cut = "even";  // the default looks for a cut that fits
  const proto::ExecutionPlan unlimited = Partition(model, options, MadeUpNeeds).value();
  LimitMemory(LargestArena(unlimited) - 1, &options);
  const absl::Status status = Partition(model, options, MadeUpNeeds).status();
  ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
  const std::string message(status.message());
  EXPECT_TRUE(absl::StrContains(message, " 1 more than its ")) << message;
  const size_t at = message.find("what fits, the shortest step first: ");
  ASSERT_NE(at, std::string::npos) << message;
  // Each way that is told is one: planned with the memory there is.
  int ways = 0;
  for (absl::string_view way : absl::StrSplit(message.substr(at), "; ")) {
    PartitionOptions other = options;
    if (const std::string kind = FlagIn(way, "--schedule="); !kind.empty()) other.schedule = kind;
    if (const std::string stages = FlagIn(way, "--recompute="); !stages.empty()) other.recompute = stages;
    EXPECT_TRUE(other.schedule != options.schedule || other.recompute != options.recompute) << way;
    const auto plan = Partition(model, other, MadeUpNeeds);
    EXPECT_TRUE(plan.ok()) << way << plan.status();
    ++ways;
  }
  EXPECT_GE(ways, 2) << message;
  // Only the stages of the rank that has too little need be recomputed.
  std::string lacking;
  for (const proto::Rank& rank : unlimited.ranks()) {
    if (rank.arena_bytes() == LargestArena(unlimited)) lacking = std::to_string(rank.rank());
  }
  EXPECT_EQ(FlagIn(message, "--recompute="), lacking) << message;
}

TEST(KindsTest, MoreStagesWhereThereAreDevices) {
  const proto::Model model = Gpt2();
  PartitionOptions options = OptionsFor(4, 8);
  options.pp = 2;
  options.recompute = "all";
  options.schedule = "v-min";
  LimitMemory(LargestArena(Partition(model, options, MadeUpNeeds).value()) * 9 / 10, &options);
  const absl::Status status = Partition(model, options, MadeUpNeeds).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "--pp=4")) << status;
}

TEST(KindsTest, SaysWhatTheNearestLacks) {
  PartitionOptions options = OptionsFor(2, 8);
  LimitMemory(1000, &options);
  const absl::Status status = Partition(Gpt2(), options, MadeUpNeeds).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "plans tried none fits")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "still lacks")) << status;
}

TEST(KindsTest, AutoTellsWhatEveryKindLacks) {
  PartitionOptions options = OptionsFor(4, 8, "auto");
  uint64_t least = UINT64_MAX;
  for (const ScheduleChoice& choice : Choose(0).choices) least = std::min(least, choice.largest_arena);
  // So much less that no cut of any kind fits; just below it another cut does.
  LimitMemory(least * 9 / 10, &options);
  const absl::Status status = Partition(Gpt2(), options, MadeUpNeeds).status();
  ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "no schedule fits; ")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "lacks least: ")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "gpipe lacks ")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "--recompute=all")) << status;
}

TEST(KindsTest, DearStagesAreScheduledWithTheirOwnCosts) {
  // Cut by hand into a light first stage and heavy others: the automatic schedule differs from that of an even cut.
  PartitionOptions even = OptionsFor(4, 8, "zb-auto");
  PartitionOptions lopsided = even;
  lopsided.cut = "by-hand";
  lopsided.cut_after = {"h.0.mlp.c_proj", "h.1.mlp.c_proj", "h.2.mlp.c_proj"};
  std::string csv[2];
  for (int i : {0, 1}) {
    PartitionOptions& options = i == 0 ? even : lopsided;
    options.dump = [&csv, i](absl::string_view pass, const std::string& text) {
      if (pass == "schedule") csv[i] = text;
    };
    const auto plan = Partition(Gpt2(), options, MadeUpNeeds);
    ASSERT_TRUE(plan.ok()) << plan.status();
  }
  EXPECT_NE(csv[0], csv[1]);
}

}  // namespace
}  // namespace millrace
