// What recomputation saves, what it repeats, and what it must not repeat.
#include <cstdio>
#include <set>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "partitioner/graph/gpt2.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"

namespace millrace {
namespace {

constexpr char kRecomputedByTheSchedule[] =
    "0F0,0F1,0R0,0BW0,0F2,0R1,0B1,0R2,0W1,0BW2\n"
    "1F0,1R0,1BW0,1F1,1R1,1BW1,1F2,1R2,1B2,1W2\n";

proto::ExecutionPlan Plan(PartitionOptions options) {
  const proto::Model model =
      MakeGpt2({.layers = 8, .heads = 4, .width = 64, .vocabulary = 100, .context = 32, .dropout = 0.1}).value();
  const auto plan = Partition(model, options, MadeUpNeeds);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return {};
  EXPECT_TRUE(VerifyPlan(*plan).ok()) << VerifyPlan(*plan);
  return *plan;
}

PartitionOptions With(const std::string& recompute, const std::string& schedule = "1f1b") {
  PartitionOptions options = OptionsFor(4, 8, schedule);
  options.recompute = recompute;
  return options;
}

uint64_t StashBytes(const proto::RankProgram& rank) {
  uint64_t bytes = 0;
  for (const proto::Pool& pool : rank.pools()) {
    const bool stash = (pool.life() >= proto::STASH_FB && pool.life() <= proto::RECEIVED) ||
                       pool.life() == proto::STASH_FR || pool.life() == proto::STASH_RB;
    if (stash) bytes += pool.stride() * pool.slots();
  }
  return bytes;
}

// Names of the calls of a phase of a stage.
std::multiset<std::string> Calls(const proto::ExecutionPlan& plan, int stage, proto::Phase phase) {
  std::multiset<std::string> names;
  for (const proto::PhaseProgram& program : plan.programs(0).stages(stage).phases()) {
    if (program.phase() != phase) continue;
    for (const proto::KernelCall& call : program.calls()) names.insert(call.node());
  }
  return names;
}

TEST(RecomputeTest, AStageKeepsOnlyItsInputs) {
  PartitionOptions one = With("all");
  one.recompute_segments = 1;
  const proto::ExecutionPlan kept = Plan(With("none")), again = Plan(one);
  // Four micro-batches wait on rank 0 for their backward pass: of each only what the embedding reads stays.
  EXPECT_LT(10 * StashBytes(again.programs(0).ranks(0)), StashBytes(kept.programs(0).ranks(0)));
  EXPECT_LT(4 * StashBytes(again.programs(0).ranks(1)), StashBytes(kept.programs(0).ranks(1)));
  EXPECT_LT(again.ranks(0).arena_bytes(), kept.ranks(0).arena_bytes());
  EXPECT_GT(again.programs(0).predicted_seconds(), kept.programs(0).predicted_seconds());
}

TEST(RecomputeTest, ForwardCallsStandAgainInBackwardAndTheLossDoesNot) {
  const proto::ExecutionPlan plan = Plan(With("all"));
  for (int stage = 0; stage < 4; ++stage) {
    const auto forward = Calls(plan, stage, proto::F), backward = Calls(plan, stage, proto::BW);
    int copies = 0;
    for (const std::string& name : backward) {
      if (!absl::StartsWith(name, "again/")) continue;
      ++copies;
      EXPECT_TRUE(forward.contains(name.substr(6))) << name;
      EXPECT_EQ(backward.count(name), 1u) << name;
    }
    EXPECT_GT(copies, 5) << "stage " << stage;
  }
  for (const proto::PhaseProgram& phase : plan.programs(0).stages(3).phases()) {
    for (const proto::KernelCall& call : phase.calls()) {
      if (phase.phase() == proto::F) continue;
      EXPECT_NE(call.op(), "LinearCrossEntropy");
      EXPECT_NE(call.op(), "Accumulate");
    }
  }
}

struct Bytes {
  uint64_t stash = 0, arena = 0;  // of the rank that needs most
};

Bytes TwelveLayersOnTwoRanks(const std::string& recompute, int segments) {
  const proto::Model model =
      MakeGpt2({.layers = 12, .heads = 4, .width = 64, .vocabulary = 256, .context = 128, .dropout = 0.1}).value();
  PartitionOptions options = OptionsFor(2, 8);
  options.recompute = recompute;
  options.recompute_segments = segments;
  const auto plan = Partition(model, options, MadeUpNeeds);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return {};
  EXPECT_TRUE(VerifyPlan(*plan).ok()) << VerifyPlan(*plan);
  Bytes bytes;
  for (int r = 0; r < 2; ++r) {
    const proto::RankProgram& rank = plan->programs(0).ranks(r);
    uint64_t transient = rank.scratch_bytes();
    for (const proto::Pool& pool : rank.pools()) transient += pool.stride() * pool.slots();
    bytes.arena = std::max(bytes.arena, transient);
    bytes.stash = std::max(bytes.stash, StashBytes(rank));
  }
  return bytes;
}

TEST(RecomputeTest, SegmentsTakeFewerBytesThanOne) {
  const Bytes none = TwelveLayersOnTwoRanks("none", 0), one = TwelveLayersOnTwoRanks("all", 1);
  const Bytes chosen = TwelveLayersOnTwoRanks("all", 0);
  std::printf("GPT-2, 12 layers, pp 2, bytes of the larger rank: pools and scratch (of that kept from F to B)\n");
  std::printf("  none          %9d (%9d)\n", static_cast<int>(none.arena), static_cast<int>(none.stash));
  std::printf("  one segment   %9d (%9d)\n", static_cast<int>(one.arena), static_cast<int>(one.stash));
  std::printf("  chosen        %9d (%9d)\n", static_cast<int>(chosen.arena), static_cast<int>(chosen.stash));
  for (int segments : {2, 3, 4, 6, 12}) {
    const Bytes fixed = TwelveLayersOnTwoRanks("all", segments);
    std::printf("  %2d segments   %9d (%9d)\n", segments, static_cast<int>(fixed.arena), static_cast<int>(fixed.stash));
    EXPECT_LT(fixed.arena, one.arena) << segments;
    // Kept values are boundaries: one tensor of 64 KiB for each segment but the first, for 2 micro-batches in flight.
    EXPECT_GT(fixed.stash, one.stash) << segments;
    EXPECT_LT(fixed.stash, none.stash) << segments;
    EXPECT_LE(chosen.arena, fixed.arena + fixed.arena / 10) << segments;
  }
  EXPECT_LT(one.arena, none.arena);
  EXPECT_LE(chosen.arena, one.arena);
  EXPECT_LT(chosen.arena, one.arena * 3 / 4) << "six layers are worth dividing";
}

// The backward pass reaches the last layers first, so their copies stand first, and each segment's right before its
// use.
TEST(RecomputeTest, SegmentsStandWhereTheyAreNeeded) {
  PartitionOptions options = With("all", "1f1b");
  options.pp = 1;
  options.recompute_segments = 4;
  const proto::ExecutionPlan plan = Plan(options);
  int groups = 0, position_of_first_layer = -1, position_of_last_layer = -1, at = 0;
  bool copying = false;
  for (const proto::PhaseProgram& phase : plan.programs(0).stages(0).phases()) {
    if (phase.phase() != proto::BW) continue;
    for (const proto::KernelCall& call : phase.calls()) {
      const bool copy = absl::StartsWith(call.node(), "again/");
      groups += copy && !copying;
      copying = copy;
      if (copy && absl::StrContains(call.node(), "h.0.") && position_of_first_layer < 0) position_of_first_layer = at;
      if (copy && absl::StrContains(call.node(), "h.7.") && position_of_last_layer < 0) position_of_last_layer = at;
      ++at;
    }
  }
  EXPECT_EQ(groups, 4);
  EXPECT_GE(position_of_last_layer, 0);
  EXPECT_LT(position_of_last_layer, position_of_first_layer);
}

TEST(RecomputeTest, OptionsPlaceIt) {
  for (const std::string kind : {"1f1b", "zb-h1", "v-half"}) {
    PartitionOptions options = With("all", kind);
    options.recompute_as = "placed";
    const proto::ExecutionPlan plan = Plan(options);
    EXPECT_EQ(plan.programs(0).recompute(), "all, placed as R");
    for (const proto::StageProgram& stage : plan.programs(0).stages()) {
      EXPECT_GT(Calls(plan, stage.stage(), proto::R).size(), 3u) << kind;
    }
    // The same work inside B: of one segment. With more, what is kept at their borders is not made again.
    PartitionOptions one = With("all", kind);
    one.recompute_segments = 1;
    const proto::ExecutionPlan inside = Plan(one);
    EXPECT_EQ(inside.programs(0).recompute(), "all, inside B, 1 segment");
    EXPECT_LT(plan.programs(0).predicted_seconds(), inside.programs(0).predicted_seconds()) << kind;
  }
  EXPECT_EQ(Plan(With("none")).programs(0).recompute(), "none");
  PartitionOptions some = With("1,2");
  some.recompute_segments = 2;
  EXPECT_EQ(Plan(some).programs(0).recompute(), "1,2, inside B, 2 segments");
}

TEST(RecomputeTest, OnlyTheStagesThatAreNamed) {
  const proto::ExecutionPlan plan = Plan(With("0,2", "zb-h1"));
  for (int stage = 0; stage < 4; ++stage) {
    int copies = 0;
    for (const std::string& name : Calls(plan, stage, proto::B)) copies += absl::StartsWith(name, "again/");
    EXPECT_EQ(copies > 0, stage % 2 == 0) << stage;
  }
}

TEST(RecomputeTest, AScheduleMayPlaceIt) {
  PartitionOptions options = OptionsFor(2, 3);
  options.custom_schedule = Schedule::ParseCsv(kRecomputedByTheSchedule).value();
  const proto::ExecutionPlan plan = Plan(options);
  std::set<proto::Life> lives;
  for (const proto::RankProgram& rank : plan.programs(0).ranks()) {
    for (const proto::Pool& pool : rank.pools()) lives.insert(pool.life());
  }
  EXPECT_TRUE(lives.contains(proto::STASH_RB));
  EXPECT_FALSE(lives.contains(proto::STASH_FW));
  EXPECT_GT(Calls(plan, 0, proto::R).size(), 5u);
  for (const std::string& name : Calls(plan, 0, proto::B)) EXPECT_FALSE(absl::StartsWith(name, "again/")) << name;
}

TEST(RecomputeTest, RefusesWhatThereIsNot) {
  const proto::Model model = MakeGpt2({.layers = 4, .heads = 2, .width = 16, .vocabulary = 40, .context = 8}).value();
  for (const char* wrong : {"4", "-1", "some", "", "1,,2", "0;1"}) {
    const auto plan = Partition(model, With(wrong), MadeUpNeeds);
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_TRUE(absl::StrContains(plan.status().message(), "recompute")) << plan.status();
  }
  PartitionOptions odd = With("all");
  odd.recompute_as = "beside";
  EXPECT_EQ(Partition(model, odd, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
  odd.recompute_as = "placed";
  odd.recompute_segments = 2;
  EXPECT_EQ(Partition(model, odd, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
  odd.recompute_as = "inside";
  odd.recompute_segments = -1;
  EXPECT_EQ(Partition(model, odd, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument);
  for (const char* wrong : {
           "0R0,0F0,0BW0\n",           // before F
           "0F0,0BW0,0R0\n",           // after the backward pass
           "0F0,0R0,0F1,0BW0,0BW1\n",  // of one micro-batch only
           "0F0,0F1,0R1,0BW0,0BW1\n",  // of one micro-batch only
           "0F0,0R0,0R0,0BW0\n",       // twice
       }) {
    const auto schedule = Schedule::ParseCsv(wrong);
    if (!schedule.ok()) continue;
    PartitionOptions options = OptionsFor(1, schedule->micro_batches);
    options.custom_schedule = *schedule;
    EXPECT_EQ(Partition(model, options, MadeUpNeeds).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

}  // namespace
}  // namespace millrace
