// Waiting by cause: traces made by hand, closed forms, and the law that the parts of every rank add up to the step.
#include "runtime/plan/attribute.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using proto::Instruction;

Instruction* Add(proto::RankProgram* rank, Instruction::Kind kind, int micro_batch, int channel,
                 std::vector<uint32_t> after) {
  Instruction* out = rank->add_instructions();
  out->set_kind(kind);
  out->set_micro_batch(micro_batch);
  out->set_channel(channel);
  for (uint32_t earlier : after) out->add_after(earlier);
  if (kind == Instruction::RUN) {
    out->set_stage(rank->stages(0));
    out->set_phase(proto::F);
  }
  return out;
}

// Two ranks, one edge, one slot on either side: 0F0 SEND 0F1 SEND NORM and RECV 1F0 RECV 1F1 NORM.
proto::ExecutionPlan TwoRanks() {
  proto::ExecutionPlan plan;
  plan.set_pp(2);
  proto::Program& train = *plan.add_programs();
  train.set_name("train");
  train.set_micro_batches(2);
  for (uint32_t s : {0, 1}) {
    plan.add_ranks()->set_rank(s);
    plan.mutable_ranks(s)->set_pipeline(s);
    proto::StageProgram& stage = *train.add_stages();
    stage.set_stage(s);
    stage.add_phases()->set_phase(proto::F);
    proto::RankProgram& rank = *train.add_ranks();
    rank.set_rank(s);
    rank.add_stages(s);
  }
  proto::Edge& edge = *train.add_edges();
  edge.set_to_stage(1);
  edge.set_bytes(8);
  proto::RankProgram* sender = train.mutable_ranks(0);
  Add(sender, Instruction::RUN, 0, 0, {});
  Add(sender, Instruction::SEND, 0, 1, {0});
  Add(sender, Instruction::RUN, 1, 0, {1});  // overwrites what the first SEND reads
  Add(sender, Instruction::SEND, 1, 1, {2});
  Add(sender, Instruction::NORM, 0, 0, {});
  proto::RankProgram* receiver = train.mutable_ranks(1);
  Add(receiver, Instruction::RECV, 0, 1, {});
  Add(receiver, Instruction::RUN, 0, 0, {0});
  Add(receiver, Instruction::RECV, 1, 1, {1});  // overwrites what 1F0 reads
  Add(receiver, Instruction::RUN, 1, 0, {2});
  Add(receiver, Instruction::NORM, 0, 0, {});
  SealPlan(&plan);
  return plan;
}

struct Times {
  double start, wait, end;
};

proto::StepTrace Trace(const proto::ExecutionPlan& plan, const std::vector<std::vector<Times>>& ranks) {
  proto::StepTrace trace;
  trace.set_program("train");
  trace.set_plan_hash(plan.hash());
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    for (size_t i = 0; i < ranks[rank].size(); ++i) {
      proto::Span& span = *trace.add_spans();
      span.set_rank(rank);
      span.set_instruction(i);
      span.set_start_seconds(ranks[rank][i].start);
      span.set_wait_seconds(ranks[rank][i].wait);
      span.set_end_seconds(ranks[rank][i].end);
    }
  }
  return trace;
}

// Contiguous from 0 to the end, and the sums are those of the segments.
void ExpectWhole(const Attribution& step) {
  for (const RankTime& rank : step.ranks) {
    double at = 0;
    for (const Segment& segment : rank.segments) {
      EXPECT_EQ(segment.begin, at);
      EXPECT_GT(segment.end, segment.begin);
      at = segment.end;
    }
    EXPECT_EQ(at, step.seconds);
    EXPECT_NEAR(rank.AllWork() + rank.AllWaiting(), step.seconds, 1e-12 * step.seconds);
  }
}

TEST(Attribute, EveryCauseOnce) {
  const proto::ExecutionPlan plan = TwoRanks();
  const proto::StepTrace trace = Trace(plan, {{{0, 0, 2}, {2, 0, 3}, {2, 1, 5}, {5, 0, 8}, {5, 5, 11}},
                                              {{0, 2, 3}, {0, 3, 6}, {6, 0, 8}, {6, 2.5, 10}, {10, 0, 10.75}}});
  const absl::StatusOr<Attribution> step = Attribute(plan, trace);
  ASSERT_TRUE(step.ok()) << step.status();
  ExpectWhole(*step);
  EXPECT_EQ(step->seconds, 11);

  const RankTime& sender = step->ranks[0];
  EXPECT_EQ(sender.Of(Work::kForward), 4);
  EXPECT_EQ(sender.Of(Wait::kSlot), 1) << "0F1 waits for the SEND that still reads its slot";
  EXPECT_EQ(sender.Of(Wait::kPeer), 5) << "NORM waits for rank 1, which comes at 10";
  EXPECT_EQ(sender.Of(Work::kCollective), 1);
  EXPECT_EQ(sender.AllWork() + sender.AllWaiting(), 11);
  EXPECT_EQ(sender.segments[1].peer, 1);

  const RankTime& receiver = step->ranks[1];
  EXPECT_EQ(receiver.Of(Wait::kFill), 3) << "whatever the cause, before the first kernel";
  EXPECT_EQ(receiver.Of(Wait::kLink), 2) << "1F1: the RECV could be posted at 6 and ended at 8";
  EXPECT_EQ(receiver.Of(Wait::kCore), 0.5) << "everything was there at 8, the work began at 8.5";
  EXPECT_EQ(receiver.Of(Wait::kDone), 0.25);
  EXPECT_EQ(receiver.Of(Work::kForward), 4.5);
  EXPECT_EQ(receiver.Of(Work::kCollective), 0.75);
  EXPECT_EQ(receiver.exposed, 2.75);
  EXPECT_EQ(receiver.AllWork() + receiver.AllWaiting(), 11);
}

TEST(Attribute, DataComesLateFromItsMaker) {
  const proto::ExecutionPlan plan = TwoRanks();
  // 0F1 ends at 7.5; its tensor is there at 8.
  const proto::StepTrace trace = Trace(plan, {{{0, 0, 2}, {2, 0, 3}, {3, 0, 7.5}, {7.5, 0, 8}, {7.5, 2.5, 11}},
                                              {{0, 2, 3}, {0, 3, 6}, {6, 1.5, 8}, {6, 2, 10}, {10, 0, 11}}});
  const absl::StatusOr<Attribution> step = Attribute(plan, trace);
  ASSERT_TRUE(step.ok()) << step.status();
  ExpectWhole(*step);
  EXPECT_EQ(step->ranks[1].Of(Wait::kData), 1.5);
  EXPECT_EQ(step->ranks[1].data_from.at(0), 1.5);
  EXPECT_EQ(step->ranks[1].Of(Wait::kLink), 0.5);
  EXPECT_EQ(step->ranks[1].Of(Wait::kSlot), 0);
}

TEST(Attribute, ASlotOfTheReceiverHoldsUpItsData) {
  // A third tensor whose slot the receiver still reads: RECV of micro-batch 1 waits for 1F0, and 1F1 for both.
  proto::ExecutionPlan plan = TwoRanks();
  // 1F0 moves to another channel's place in time: the RECV's `after` ends at 7, though the RUN before 1F1 ended at 4.
  proto::RankProgram* receiver = plan.mutable_programs(0)->mutable_ranks(1);
  Instruction* send_back = Add(receiver, Instruction::SEND, 0, 2, {1});
  send_back->set_edge(1);
  proto::Edge& edge = *plan.mutable_programs(0)->add_edges();
  edge.set_from_stage(1);
  edge.set_backward(true);
  receiver->mutable_instructions()->SwapElements(2, 5);  // 2: SEND back, 5: RECV of micro-batch 1
  receiver->mutable_instructions(5)->clear_after();
  receiver->mutable_instructions(5)->add_after(2);
  receiver->mutable_instructions()->SwapElements(3, 5);  // 3: RECV, 5: 1F1
  receiver->mutable_instructions()->SwapElements(4, 5);  // 4: 1F1, 5: NORM
  receiver->mutable_instructions(4)->clear_after();
  receiver->mutable_instructions(4)->add_after(3);
  Instruction* back = Add(plan.mutable_programs(0)->mutable_ranks(0), Instruction::RECV, 0, 2, {});
  back->set_edge(1);
  SealPlan(&plan);
  const proto::StepTrace trace = Trace(plan, {{{0, 0, 1}, {1, 0, 1}, {1, 0, 2}, {2, 5, 8}, {2, 8, 11}, {2, 1, 7}},
                                              {{0, 1, 1}, {0, 1, 4}, {4, 0, 7}, {4, 3, 8}, {4, 4, 10}, {10, 0, 11}}});
  const absl::StatusOr<Attribution> step = Attribute(plan, trace);
  ASSERT_TRUE(step.ok()) << step.status();
  ExpectWhole(*step);
  EXPECT_EQ(step->ranks[1].Of(Wait::kSlot), 3);
  EXPECT_EQ(step->ranks[1].Of(Wait::kLink), 1);
  EXPECT_EQ(step->ranks[1].Of(Wait::kData), 0);
}

// GPipe on equal stages: rank s is filled for s forwards; between its last forward and its first backward it waits for
// the ranks after it; it is done when the ranks before it end theirs.
TEST(Attribute, ClosedFormOfGPipe) {
  const int p = 4, m = 6;
  const auto plan = TinyPlan(
      {.stages = p, .micro_batches = m, .gpipe = true, .split = false, .forward = 2, .backward = 3, .weight = 1});
  const absl::StatusOr<Attribution> step = Attribute(plan, Simulate(plan, "train")->trace);
  ASSERT_TRUE(step.ok()) << step.status();
  ExpectWhole(*step);
  for (int s = 0; s < p; ++s) {
    const RankTime& rank = step->ranks[s];
    EXPECT_EQ(rank.Of(Wait::kFill), 2.0 * s);
    EXPECT_EQ(rank.Of(Wait::kData), (p - 1 - s) * 6.0);
    EXPECT_EQ(rank.Of(Work::kForward), 2.0 * m);
    EXPECT_EQ(rank.Of(Work::kWholeBackward), 4.0 * m);
    EXPECT_EQ(rank.Of(Wait::kPeer) + rank.Of(Wait::kDone), 4.0 * s);
    EXPECT_EQ(rank.AllWork() + rank.AllWaiting(), step->seconds);
    EXPECT_EQ(step->stages[s].AllWork() + step->stages[s].AllWaiting(), step->seconds) << "a stage for each rank";
    if (s < p - 1) EXPECT_EQ(rank.data_from.at(s + 1), (p - 1 - s) * 6.0);
  }
}

TEST(Attribute, BareAndHiddenTransfers) {
  for (const int m : {1, 4, 12}) {
    const auto plan = TinyPlan({.stages = 3, .micro_batches = m, .split = false, .send = 0.25});
    const absl::StatusOr<Simulation> simulation = Simulate(plan, "train");
    const absl::StatusOr<Attribution> step = Attribute(plan, simulation->trace);
    ASSERT_TRUE(step.ok()) << step.status();
    ExpectWhole(*step);
    for (int s = 0; s < 3; ++s) {
      const RankTime& rank = step->ranks[s];
      const int transfers = (s == 0 || s == 2 ? 2 : 4) * m;
      EXPECT_LE(rank.hidden, transfers * 0.25 + 1e-9);
      EXPECT_GE(rank.hidden, 0);
      // One micro-batch: nothing to hide behind. Many: something is.
      if (m == 1) EXPECT_EQ(rank.hidden, 0);
      if (m == 12) EXPECT_GT(rank.hidden, 0);
    }
    if (m == 1) EXPECT_EQ(step->ranks[0].Of(Wait::kLink), 0.25);
  }
}

TEST(Attribute, AnyTraceAddsUp) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> some(0, 3);
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 6, .send = 0.5});
  for (int round = 0; round < 200; ++round) {
    proto::StepTrace trace = Simulate(plan, "train")->trace;
    trace.set_predicted(false);
    for (proto::Span& span : *trace.mutable_spans()) {
      span.set_start_seconds(span.start_seconds() + some(random) - 1);
      span.set_wait_seconds(some(random));
      span.set_end_seconds(span.start_seconds() + some(random));
    }
    if (round % 3 == 0) trace.mutable_spans()->DeleteSubrange(round % 11, 5);
    const absl::StatusOr<Attribution> step = Attribute(plan, trace);
    ASSERT_TRUE(step.ok()) << step.status();
    ExpectWhole(*step);
    double stages = 0;
    for (const StageTime& stage : step->stages) stages += stage.AllWork() + stage.AllWaiting();
    EXPECT_NEAR(stages, 4 * step->seconds, 1e-9);
  }
}

TEST(Attribute, RefusesWhatIsNotOfThePlan) {
  const auto plan = TinyPlan({});
  proto::StepTrace trace = Simulate(plan, "train")->trace;
  trace.mutable_spans(0)->set_rank(99);
  EXPECT_EQ(Attribute(plan, trace).status().code(), absl::StatusCode::kInvalidArgument);
  trace.set_plan_hash("0");
  EXPECT_EQ(Attribute(plan, trace).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace millrace
