// Rules about divided gradients and parameters: each is broken once by hand in a plan of level 3 with more chunks than
// buffers, and in one with a REDUCE that begins inside a RUN. The message names the rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "partitioner/graph/gpt2.h"
#include "runtime/plan/simulate.h"
#include "runtime/plan/verify.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using proto::Instruction;
using ::testing::AllOf;
using ::testing::HasSubstr;

bool OfRun(const Instruction& i) { return i.kind() == Instruction::REDUCE && i.phase() != proto::PHASE_UNSPECIFIED; }
bool OfChunk(const Instruction& i) { return i.chunk(); }

absl::StatusOr<proto::Model> SmallGpt(int layers) {
  Gpt2Options o;
  o.layers = layers;
  o.heads = 2;
  o.width = 16;
  o.vocabulary = 31;
  o.context = 8;
  return MakeGpt2(o);
}

class ChunkRules : public testing::Test {
 protected:
  void Make(int level, const std::string& schedule, int chunks, int pp = 1) {
    const auto model = SmallGpt(4);
    ASSERT_TRUE(model.ok()) << model.status();
    PartitionOptions options = OptionsFor("cpu", 2 * pp);
    options.pp = pp;
    options.dp = 2;
    options.shard_optimizer = level;
    options.micro_batches = 2;
    options.schedule = schedule;
    options.chunks = chunks;
    options.bucket_bytes = 4096;
    const auto plan = PlanFor(*model, options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *plan;
  }
  void SetUp() override { Make(3, "interleaved", 4); }

  proto::RankProgram& list() { return *plan_.mutable_programs(0)->mutable_ranks(0); }
  int Find(const std::function<bool(const Instruction&)>& wanted, int from = 0) {
    int i = from;
    while (i < list().instructions_size() && !wanted(list().instructions(i))) ++i;
    EXPECT_LT(i, list().instructions_size()) << "the plan has no such instruction";
    return i % list().instructions_size();
  }
  Instruction& at(int i) { return *list().mutable_instructions(i); }
  void Drop(int i) {
    list().mutable_instructions()->DeleteSubrange(i, 1);
    for (Instruction& later : *list().mutable_instructions()) {
      std::vector<uint32_t> after;
      for (uint32_t a : later.after()) {
        if (static_cast<int>(a) != i) after.push_back(static_cast<int>(a) > i ? a - 1 : a);
      }
      later.mutable_after()->Assign(after.begin(), after.end());
    }
  }
  void ExpectRule(const std::string& rule, const std::string& also) {
    const absl::Status status = VerifyPlan(plan_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("rule " + rule + ": "), HasSubstr(also)));
  }

  proto::ExecutionPlan plan_;
};

TEST_F(ChunkRules, NothingYet) {
  EXPECT_TRUE(VerifyPlan(plan_).ok());
  EXPECT_GT(list().stages_size(), 2);
}

TEST_F(ChunkRules, GradientsNobodyReduces) {
  Drop(Find(OfRun));
  ExpectRule("unordered-bytes", "left for a REDUCE");
}
TEST_F(ChunkRules, ReduceBeforeItsRun) {
  at(Find(OfRun)).clear_after();
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(ChunkRules, RunThatDoesNotWaitForTheBytes) {
  const int run = Find([&](const Instruction& i) {
    return i.kind() == Instruction::RUN && std::any_of(i.after().begin(), i.after().end(), [&](uint32_t earlier) {
             return OfRun(list().instructions(static_cast<int>(earlier)));
           });
  });
  at(run).clear_after();
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(ChunkRules, ReduceOfAnotherMicroBatch) {
  at(Find(OfRun)).set_micro_batch(1);
  ExpectRule("order", "does not come right before it");
}
TEST_F(ChunkRules, WeightsNobodyGathers) {
  Drop(Find(OfChunk));
  ExpectRule("read-before-write", "no GATHER before it");
}
TEST_F(ChunkRules, WeightsNobodyPacks) {
  const int prepare = Find([](const Instruction& i) { return i.kind() == Instruction::PREPARE; });
  const uint32_t gather = at(prepare).after(0);
  Drop(prepare);
  at(prepare).add_after(gather);  // the RUN behind it: whole they are
  ExpectRule("read-before-write", "no PREPARE packs its weights");
}
TEST_F(ChunkRules, PackedBeforeTheyAreWhole) {
  at(Find([](const Instruction& i) { return i.kind() == Instruction::PREPARE; })).clear_after();
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(ChunkRules, GatherWhileTheBufferIsInUse) {
  const int second = Find(OfChunk, Find([](const Instruction& i) { return i.kind() == Instruction::RELEASE; }));
  at(second).clear_after();
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(ChunkRules, BufferNobodyReleases) {
  Drop(Find([](const Instruction& i) { return i.kind() == Instruction::RELEASE; }));
  ExpectRule("unordered-bytes", "RUNs until its RELEASE");
}
TEST_F(ChunkRules, GatherOnTheComputeChannel) {
  at(Find(OfChunk)).set_channel(0);
  ExpectRule("index", "0 is for compute");
}
TEST_F(ChunkRules, StagingOutsideTheArena) {
  for (proto::PhaseProgram& phase : *plan_.mutable_programs(0)->mutable_stages(0)->mutable_phases()) {
    phase.set_staging_offset(plan_.ranks(0).arena_bytes());
  }
  ExpectRule("extent", "staging");
}
TEST_F(ChunkRules, WeightsOfAChunkOverlap) {
  proto::StageProgram& stage = *plan_.mutable_programs(0)->mutable_stages(0);
  std::vector<proto::Value*> weights;
  for (proto::Value& value : *stage.mutable_values()) {
    if (value.life() == proto::PARAMETER) weights.push_back(&value);
  }
  ASSERT_GT(weights.size(), 1u);
  weights[1]->set_offset(weights[0]->offset());
  ExpectRule("overlap", "share bytes");
}
TEST_F(ChunkRules, ShardOfGradientsOverItself) {
  proto::PlannedParameter* first = nullptr;
  for (proto::PlannedParameter& parameter : *plan_.mutable_parameters()) {
    if (!parameter.trainable()) continue;
    if (first != nullptr &&
        parameter.places(0).gradients(0).shard_offset() != first->places(0).gradients(0).shard_offset()) {
      parameter.mutable_places(0)->mutable_gradients(0)->set_shard_offset(first->places(0).gradients(0).shard_offset());
      break;
    }
    first = &parameter;
  }
  ExpectRule("overlap", "sharded gradient of bucket");
}

class EarlyRules : public ChunkRules {
 protected:
  void SetUp() override { Make(1, "1f1b", 0); }
  int Early() {
    return Find([](const Instruction& i) { return i.kind() == Instruction::REDUCE && i.has_begins(); });
  }
};

TEST_F(EarlyRules, BeginsBeforeTheLastAddition) {
  EXPECT_TRUE(VerifyPlan(plan_).ok());
  at(Early()).mutable_begins()->set_calls(1);
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(EarlyRules, BeginsInAnotherRun) {
  Instruction& reduce = at(Early());
  reduce.mutable_begins()->set_instruction(
      Find([](const Instruction& i) { return i.kind() == Instruction::RUN && i.phase() == proto::F; }));
  reduce.mutable_begins()->set_calls(1);
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(EarlyRules, BeginsInNoRun) {
  at(Early()).mutable_begins()->set_instruction(
      Find([](const Instruction& i) { return i.kind() == Instruction::LOAD; }));
  ExpectRule("index", "no earlier RUN");
}
TEST_F(EarlyRules, NormThatDoesNotWait) {
  at(Find([](const Instruction& i) { return i.kind() == Instruction::NORM; })).clear_after();
  ExpectRule("unordered-bytes", "touch the same bytes");
}
TEST_F(EarlyRules, TheSimulatorBeginsThereToo) {
  const int reduce = Early();
  const int run = static_cast<int>(at(reduce).begins().instruction());
  const auto simulation = Simulate(plan_, "train");
  ASSERT_TRUE(simulation.ok()) << simulation.status();
  double begins = -1, run_begins = -1, run_ends = -1;
  for (const proto::Span& span : simulation->trace.spans()) {
    if (span.rank() != 0) continue;
    if (static_cast<int>(span.instruction()) == reduce) begins = span.start_seconds() + span.wait_seconds();
    if (static_cast<int>(span.instruction()) != run) continue;
    run_begins = span.start_seconds() + span.wait_seconds();
    run_ends = span.end_seconds();
  }
  EXPECT_GT(begins, run_begins);
  EXPECT_LT(begins, run_ends);
}

// Replicas of a stage sum gradients by their number in the order in which its calls end them.
TEST(ReplicaStages, GradientsInAnotherOrderDoNotMeet) {
  const auto model = SmallGpt(2);
  ASSERT_TRUE(model.ok()) << model.status();
  PartitionOptions options = OptionsFor("cpu", 3);
  options.pp = 2;
  options.stage_replicas = {2, 1};
  options.shard_optimizer = 2;
  options.micro_batches = 4;
  const auto plan = PlanFor(*model, options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto ends_gradient = [](const proto::StageProgram& stage, const proto::KernelCall& call) {
    return std::any_of(call.outputs().begin(), call.outputs().end(),
                       [&](int v) { return v >= 0 && stage.values(v).life() == proto::GRADIENT; });
  };
  int swapped = 0, do_not_meet = 0;
  for (int c = 0;; ++c) {
    proto::ExecutionPlan other = *plan;
    proto::StageProgram& stage = *other.mutable_programs(0)->mutable_stages(1);
    ASSERT_EQ(stage.replica(), 1);
    proto::PhaseProgram& backward = *stage.mutable_phases(stage.phases_size() - 1);
    ASSERT_EQ(backward.phase(), proto::BW);
    if (c + 1 == backward.calls_size()) break;
    if (!ends_gradient(stage, backward.calls(c)) || !ends_gradient(stage, backward.calls(c + 1))) continue;
    backward.mutable_calls()->SwapElements(c, c + 1);
    ++swapped;
    const absl::Status status = VerifyPlan(other);
    EXPECT_FALSE(status.ok()) << "calls " << c << " and " << c + 1;
    do_not_meet += absl::StrContains(status.message(), "stage 1 is a replica of stage 0");
  }
  EXPECT_GT(swapped, 2);
  EXPECT_GT(do_not_meet, 0);
}

}  // namespace
}  // namespace millrace
