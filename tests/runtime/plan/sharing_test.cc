// The simulator where ranks share cores and transfers share wires; step to step, critical path, bytes over time.
#include <algorithm>
#include <chrono>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/critical_path.h"
#include "runtime/plan/live_bytes.h"
#include "runtime/plan/simulate.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

proto::ExecutionPlan Sharing(const TinyPlanOptions& options, uint32_t cores, double slower) {
  proto::ExecutionPlan plan = TinyPlan(options);
  for (proto::Rank& rank : *plan.mutable_ranks()) {
    rank.set_threads(1);
    rank.set_shares("cores");
    rank.set_shared_cores(cores);
  }
  for (proto::StageProgram& stage : *plan.mutable_programs(0)->mutable_stages()) {
    for (proto::PhaseProgram& phase : *stage.mutable_phases()) {
      if (phase.seconds() == 0) phase.set_seconds(1);
      phase.set_seconds_shared(slower * phase.seconds());
    }
  }
  return plan;
}

double SecondsOf(const proto::ExecutionPlan& plan) {
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  EXPECT_TRUE(simulation.ok()) << simulation.status();
  return simulation.ok() ? simulation->seconds : 0;
}

// Two stages, two micro-batches, F 1 s, BW 2 s: F0 | F1 F0 | BW0 ... Of the work of 12 s, one core does all of it one
// second at a time, whoever has it.
TEST(Sharing, OneCoreDoesAllTheWork) {
  const TinyPlanOptions options = {.stages = 2, .micro_batches = 2, .split = false};
  EXPECT_NEAR(SecondsOf(Sharing(options, 2, 1)), 9, 1e-9);  // (m + p - 1) (f + b)
  EXPECT_NEAR(SecondsOf(Sharing(options, 1, 1)), 12, 1e-9);
}

// Four ranks on two cores never do better than the work divided by two, nor than the pipeline with a core each.
TEST(Sharing, FourRanksOnTwoCores) {
  const TinyPlanOptions options = {.stages = 4, .micro_batches = 8, .split = false};
  const double seconds = SecondsOf(Sharing(options, 2, 1));
  EXPECT_GE(seconds, 4 * 8 * 3 / 2.0);
  EXPECT_GE(seconds, SecondsOf(Sharing(options, 4, 1)));
  EXPECT_NEAR(SecondsOf(Sharing(options, 4, 1)), SecondsOf(TinyPlan(options)), 1e-9);
}

// One micro-batch: nobody works beside anybody, so the shared speed never holds. Several: it does.
TEST(Sharing, SharedSpeedHoldsOnlyInCompany) {
  EXPECT_NEAR(SecondsOf(Sharing({.stages = 3, .micro_batches = 1, .split = false}, 3, 2)), 9, 1e-9);
  const TinyPlanOptions options = {.stages = 2, .micro_batches = 2, .split = false};
  // Rank 0: F0 0-1, F1; rank 1: F0. Both run from 1 at half speed to 3, then rank 1 BW0 alone to 5, then rank 0 BW0 and
  // rank 1 F1. F1 is done at 7, BW0 half way; then BW1 and BW0: the rest of BW0, 1 s of work, takes 2: at 9, with BW1
  // half done; its rest 1 s alone: 10. BW1 of rank 0: 12.
  EXPECT_NEAR(SecondsOf(Sharing(options, 2, 2)), 12, 1e-9);
}

TEST(Sharing, AGroupOfItsOwnIsNoCompany) {
  proto::ExecutionPlan plan = Sharing({.stages = 2, .micro_batches = 2, .split = false}, 1, 2);
  plan.mutable_ranks(1)->set_shares("other cores");
  EXPECT_NEAR(SecondsOf(plan), 9, 1e-9);
}

proto::PlannedLink& AddLink(int from, int to, double latency, double rate, const std::string& wire,
                            proto::ExecutionPlan* plan) {
  proto::PlannedLink& link = *plan->add_links();
  link.set_from_rank(from);
  link.set_to_rank(to);
  link.set_latency_seconds(latency);
  link.set_bytes_per_second(rate);
  link.set_wire(wire);
  return link;
}

// An edge is 32 bytes: 0.25 s of latency and 1 s on the way, each way.
TEST(Links, LatencyAndBandwidth) {
  proto::ExecutionPlan plan = TinyPlan({.stages = 2, .micro_batches = 1, .split = false, .send = 100});
  AddLink(0, 1, 0.25, 32, "", &plan);
  AddLink(1, 0, 0.25, 32, "", &plan);
  EXPECT_NEAR(SecondsOf(plan), 6 + 2 * 1.25, 1e-9);
}

// Forward transfers of both borders leave at the same time, so on one wire each takes twice as long.
TEST(Links, AWireIsShared) {
  const TinyPlanOptions options = {.stages = 3, .micro_batches = 3, .gpipe = true, .split = false};
  std::vector<double> seconds;
  for (const char* wire : {"", "bus"}) {
    proto::ExecutionPlan plan = TinyPlan(options);
    for (const auto& [from, to] : {std::pair(0, 1), std::pair(1, 2), std::pair(1, 0), std::pair(2, 1)}) {
      AddLink(from, to, 0, 32, wire, &plan);
    }
    seconds.push_back(SecondsOf(plan));
  }
  EXPECT_GT(seconds[1], seconds[0] + 0.5);
  proto::ExecutionPlan alone = TinyPlan({.stages = 2, .micro_batches = 1, .split = false});
  AddLink(0, 1, 0.5, 32, "bus", &alone);
  EXPECT_NEAR(SecondsOf(alone), 6 + 1.5, 1e-9);
}

TEST(StepToStep, PartsAndPipeline) {
  proto::ExecutionPlan plan = TinyPlan({.stages = 2, .micro_batches = 1, .split = false});
  for (proto::RankProgram& rank : *plan.mutable_programs(0)->mutable_ranks()) {
    for (proto::Instruction& instruction : *rank.mutable_instructions()) {
      if (instruction.kind() == proto::Instruction::LOAD) instruction.set_seconds(0.5);
      if (instruction.kind() == proto::Instruction::NORM) instruction.set_seconds(0.25);
      if (instruction.kind() == proto::Instruction::STEP) instruction.set_seconds(0.125);
    }
  }
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  ASSERT_TRUE(simulation.ok());
  EXPECT_NEAR(simulation->pipeline_seconds, 6, 1e-9);
  EXPECT_NEAR(simulation->parts.load, 0.5, 1e-9);
  EXPECT_NEAR(simulation->parts.norm, 0.25, 1e-9);
  EXPECT_GE(simulation->parts.step, 0.125);
  EXPECT_NEAR(simulation->seconds, 0.5 + 6 + 0.25 + simulation->parts.step, 1e-9);
}

// Without bubbles on the way each step of the path begins when the one before it ends.
TEST(CriticalPath, IsAChainFromStartToEnd) {
  const proto::ExecutionPlan plan = TinyPlan({.stages = 4, .micro_batches = 6, .split = true, .send = 0.5});
  const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
  ASSERT_TRUE(simulation.ok());
  const absl::StatusOr<std::vector<PathStep>> path = CriticalPath(plan, simulation->trace);
  ASSERT_TRUE(path.ok()) << path.status();
  ASSERT_FALSE(path->empty());
  EXPECT_DOUBLE_EQ(path->front().begin, 0);
  EXPECT_DOUBLE_EQ(path->back().end, simulation->seconds);
  double work = 0;
  for (size_t i = 0; i < path->size(); ++i) {
    work += (*path)[i].end - (*path)[i].begin;
    if (i > 0) EXPECT_NEAR((*path)[i].begin, (*path)[i - 1].end, 1e-9) << "step " << i;
  }
  EXPECT_NEAR(work, simulation->seconds, 1e-9);
}

TEST(CriticalPath, RefusesATraceOfSomethingElse) {
  const proto::ExecutionPlan plan = TinyPlan({});
  proto::StepTrace trace = Simulate(plan, "train")->trace;
  trace.mutable_spans(0)->set_rank(99);
  EXPECT_EQ(CriticalPath(plan, trace).status().code(), absl::StatusCode::kInvalidArgument);
  trace.set_program("eval");
  EXPECT_EQ(CriticalPath(plan, trace).status().code(), absl::StatusCode::kNotFound);
}

// GPipe's first stage holds all micro-batches at the turn from forward to backward, 1F1B's as many as there are stages.
TEST(LiveBytes, RiseAndFallWithMicroBatchesInFlight) {
  for (const bool gpipe : {true, false}) {
    const proto::ExecutionPlan plan =
        TinyPlan({.stages = 3, .micro_batches = 8, .gpipe = gpipe, .split = false, .forward = 1, .backward = 1});
    const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
    ASSERT_TRUE(simulation.ok());
    const auto ranks = LiveBytes(plan, plan.programs(0), simulation->trace);
    ASSERT_EQ(ranks.size(), 3);
    uint64_t persistent = 0;
    for (const proto::Region& region : plan.ranks(0).regions()) {
      if (region.life() != proto::SCRATCH) persistent += region.bytes();
    }
    EXPECT_EQ(ranks[0].back().bytes, persistent);
    uint64_t most = 0;
    for (size_t i = 0; i < ranks[0].size(); ++i) {
      most = std::max(most, ranks[0][i].bytes);
      if (i > 0) EXPECT_GT(ranks[0][i].seconds, ranks[0][i - 1].seconds);
    }
    const proto::RankProgram& list = plan.programs(0).ranks(0);
    EXPECT_GE(most, persistent + (gpipe ? 8 : 3) * list.pools(0).stride());
    uint64_t all = persistent + list.scratch_bytes();
    for (const proto::Pool& pool : list.pools()) all += pool.stride() * pool.slots();
    EXPECT_LE(most, all);
  }
}

TEST(Durations, RefuseWhatIsNoNumber) {
  proto::ExecutionPlan plan = Sharing({}, 2, 1);
  plan.mutable_programs(0)->mutable_stages(0)->mutable_phases(0)->set_seconds_shared(-1);
  EXPECT_THAT(std::string(Simulate(plan, "train").status().message()), HasSubstr("rule figures"));
  plan = TinyPlan({});
  AddLink(0, 1, 0.0 / 0.0, 1, "", &plan);
  EXPECT_THAT(std::string(Simulate(plan, "train").status().message()), HasSubstr("rule figures"));
}

// Large plans stay cheap, also when every rank shares: the run must end at all within the test's time.
TEST(Sharing, SixtyFourStages) {
  const proto::ExecutionPlan plan = Sharing({.stages = 64, .micro_batches = 512, .split = false}, 8, 1.5);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_GT(SecondsOf(plan), 64 * 512 * 3 / 8.0);
  RecordProperty(
      "milliseconds",
      static_cast<int>(
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count()));
}

}  // namespace
}  // namespace millrace
