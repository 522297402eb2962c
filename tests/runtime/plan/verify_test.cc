// Correct plans pass; rules about order and data are broken once each, and the message names the rule and the place.
#include "runtime/plan/verify.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/text_proto.h"
#include "tests/runtime/plan/spoiled.h"

namespace millrace {
namespace {

using proto::Instruction;
using testing::HasSubstr;

TEST(VerifyPlan, AcceptsCorrectPlans) {
  for (const bool gpipe : {false, true}) {
    for (const bool split : {false, true}) {
      for (const int stages : {2, 3, 5}) {
        for (const int micro_batches : {1, 2, 4, 7}) {
          const absl::Status status =
              VerifyPlan(TinyPlan({.stages = stages, .micro_batches = micro_batches, .gpipe = gpipe, .split = split}));
          EXPECT_TRUE(status.ok()) << stages << " stages, " << micro_batches << " micro-batches, gpipe " << gpipe
                                   << ", split " << split << ": " << status.message();
        }
      }
    }
  }
}

// ---- schedule

// Checking takes time in proportion to the plan: this one has 330,000 instructions.
TEST(VerifyPlan, AcceptsAPlanOf64StagesAnd512MicroBatches) {
  const proto::ExecutionPlan plan = TinyPlan({.stages = 64, .micro_batches = 512});
  const absl::Time begin = absl::Now();
  const absl::Status status = VerifyPlan(plan);
  RecordProperty("milliseconds", static_cast<int>(absl::ToInt64Milliseconds(absl::Now() - begin)));
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(Spoiled, GroupsAreNoFault) {
  GroupTransfers();
  EXPECT_TRUE(VerifyPlan(plan_).ok()) << VerifyPlan(plan_).message();
}
TEST_F(Spoiled, GroupOfOtherThanTransfers) {
  plan_ = TinyPlan({.stages = 2, .micro_batches = 3});
  GroupTransfers();
  ASSERT_TRUE(VerifyPlan(plan_).ok()) << VerifyPlan(plan_).message();
  proto::Instruction* group = at(0, Find(0, Instruction::GROUP));
  group->mutable_group(0)->set_kind(Instruction::PREPARE);
  ExpectRule("index", "neither SEND nor RECV");
}

TEST_F(Spoiled, MicroBatchNotRun) {
  Drop(1, FindRun(1, proto::W, 2));
  ExpectRule("completeness", "never runs 1W2");
}
TEST_F(Spoiled, MicroBatchRunTwice) {
  const int i = FindRun(1, proto::W, 3);
  *rank(1)->add_instructions() = *at(1, i);
  ExpectRule("completeness", Place(1, rank(1)->instructions_size() - 1));
}
TEST_F(Spoiled, DuplicateStep) {
  Instruction* step = rank(1)->add_instructions();
  *step = *at(1, Find(1, Instruction::STEP));
  ExpectRule("completeness", Place(1, rank(1)->instructions_size() - 1));
}
TEST_F(Spoiled, MissingStep) {
  Drop(1, Find(1, Instruction::STEP));
  ExpectRule("completeness", "rank 1: has no STEP of bucket 1");
}
TEST_F(Spoiled, MissingReduceOfTiedWeights) {
  Drop(0, Find(0, Instruction::REDUCE));
  Drop(2, Find(2, Instruction::REDUCE));
  ExpectRule("completeness", "has no REDUCE of bucket 3");
}
TEST_F(Spoiled, MissingNorm) {
  for (int r = 0; r < 3; ++r) Drop(r, Find(r, Instruction::NORM));
  ExpectRule("order", "no NORM comes before it");
}
TEST_F(Spoiled, ParameterInNoBucket) {
  plan_.add_parameters()->CopyFrom(plan_.parameters(1));
  proto::PlannedParameter* extra = plan_.mutable_parameters(4);
  extra->mutable_places(0)->set_weight_offset(tiny::kTied);  // rank 1 keeps no tied weight
  extra->mutable_places(0)->mutable_gradients(0)->set_offset(tiny::kTiedGradient);
  ExpectRule("completeness", "in no bucket");
}
TEST_F(Spoiled, StageOnTwoRanks) {
  rank(1)->add_stages(0);
  ExpectRule("one-rank", "program train, rank 1: stage 0");
}
TEST_F(Spoiled, StageOnNoRank) {
  rank(1)->clear_stages();
  ExpectRule("one-rank", "stage 1 is on no rank");
}
TEST_F(Spoiled, RunOnAnotherRank) {
  const int i = FindRun(1, proto::F, 2);
  at(1, i)->set_stage(0);
  ExpectRule("one-rank", Place(1, i));
}
TEST_F(Spoiled, WeightGradientBeforeInputGradient) {
  const int i = FindRun(0, proto::B, 1);
  SwapWithNext(0, i);
  ExpectRule("order", Place(0, i));
}
TEST_F(Spoiled, StepBeforeNorm) {
  const int i = Find(1, Instruction::NORM);
  SwapWithNext(1, i);
  ExpectRule("order", Place(1, i));
}
TEST_F(Spoiled, NormBeforeTheLastWeightGradient) {
  const int norm = Find(1, Instruction::NORM);
  SwapWithNext(1, norm - 1);
  ExpectRule("order", Place(1, norm));
}
TEST_F(Spoiled, WeightGradientsOutOfOrder) {
  // Micro-batches 0 and 1 change names everywhere: all is as it was, but 1 is added before 0.
  const auto rename = [](Instruction* instruction) {
    if (instruction->micro_batch() < 2) instruction->set_micro_batch(1 - instruction->micro_batch());
  };
  for (int r = 0; r < 3; ++r) {
    for (Instruction& instruction : *rank(r)->mutable_instructions()) {
      if (instruction.kind() <= Instruction::RECV) rename(&instruction);
    }
  }
  ExpectRule("accumulation-order", Place(0, FindRun(0, proto::W, 0)));
}
TEST_F(Spoiled, AccumulatorOverwritten) {
  stage(1)->mutable_phases(2)->mutable_calls(1)->clear_attributes();  // ReduceSumTo without accumulate=1
  ExpectRule("accumulation-order", "grad/w1");
}

// ---- matching, rendezvous

TEST_F(Spoiled, MissingReceive) {
  const int send = Find(0, Instruction::SEND, 2);
  const std::string place = Place(0, send);
  Drop(1, Find(1, Instruction::RECV, 2));
  ExpectRule("matching", place);
}
TEST_F(Spoiled, MissingSend) {
  Drop(0, Find(0, Instruction::SEND, 2));
  ExpectRule("matching", "has no SEND of it from stage 0");
}
TEST_F(Spoiled, SentTwice) {
  *rank(0)->add_instructions() = *at(0, Find(0, Instruction::SEND, 2));
  rank(0)->mutable_instructions()->rbegin()->clear_after();
  ExpectRule("matching", "the same as instruction");
}
TEST_F(Spoiled, CollectiveWithoutOneRank) {
  Drop(2, Find(2, Instruction::NORM));
  ExpectRule("matching", "of its 3 ranks only 2");
}
TEST_F(Spoiled, CollectiveOfAStranger) {
  at(1, Find(1, Instruction::STEP))->set_kind(Instruction::REDUCE);
  at(1, Find(1, Instruction::REDUCE))->set_bucket(3);
  ExpectRule("matching", "not in the bucket's group");
}
TEST_F(Spoiled, Deadlock) {
  plan_ = TinyPlan({.stages = 2, .gpipe = true});
  // Rank 1 wants micro-batch 1 before micro-batch 0; rank 0 sends 0 first.
  Instruction* first = at(1, Find(1, Instruction::RECV, 0));
  Instruction* second = at(1, Find(1, Instruction::RECV, 1));
  first->set_micro_batch(1);
  second->set_micro_batch(0);
  const absl::Status status = VerifyPlan(plan_);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("rule rendezvous: program train, rank"));
  EXPECT_THAT(message,
              HasSubstr("rank 0 waits at instruction 2 (SEND h0 of micro-batch 0 to stage 1) for rank 1, which waits "
                        "at instruction"));
  EXPECT_THAT(message, HasSubstr("-->"));
}

// ---- data

TEST_F(Spoiled, LoadMissing) {
  Drop(0, Find(0, Instruction::LOAD, 0));
  ExpectRule("read-before-write", Place(0, FindRun(0, proto::F, 0)));
}
TEST_F(Spoiled, ScratchReadBeforeItIsWritten) {
  stage(0)->mutable_phases(0)->mutable_calls()->SwapElements(0, 1);
  ExpectRule("read-before-write", "stage 0, phase F, call 0");
}
TEST_F(Spoiled, SlotReusedWhileInUse) {
  // Micro-batch 1 of stage 0 goes to the slot that micro-batch 0 still needs for its W.
  ASSERT_EQ(at(0, FindRun(0, proto::F, 0))->slots(0).slot(), 0);
  for (Instruction& instruction : *rank(0)->mutable_instructions()) {
    if (instruction.micro_batch() != 1) continue;
    for (proto::SlotUse& use : *instruction.mutable_slots()) {
      if (use.pool() == 0) use.set_slot(0);
    }
  }
  ExpectRule("slot-in-use", Place(0, Find(0, Instruction::LOAD, 1)));
}
TEST_F(Spoiled, ReceiveNotWaitedFor) {
  const int i = FindRun(1, proto::F, 1);
  at(1, i)->clear_after();
  ExpectRule("unordered-bytes", Place(1, i));
}
TEST_F(Spoiled, SendNotWaitedForWhenItsSlotIsReused) {
  plan_ = TinyPlan({.micro_batches = 6});
  for (int i = 0; i < rank(0)->instructions_size(); ++i) {
    if (at(0, i)->kind() == Instruction::RUN && at(0, i)->phase() == proto::F && at(0, i)->after_size() > 0) {
      at(0, i)->clear_after();
      ExpectRule("unordered-bytes", Place(0, i));
      return;
    }
  }
  FAIL() << "no slot was reused";
}
TEST_F(Spoiled, ReceiveIntoASlotStillRead) {
  plan_ = TinyPlan({.micro_batches = 6});
  for (int i = 0; i < rank(1)->instructions_size(); ++i) {
    if (at(1, i)->kind() == Instruction::RECV && at(1, i)->after_size() > 0) {
      at(1, i)->clear_after();
      ExpectRule("unordered-bytes", Place(1, i));
      return;
    }
  }
  FAIL() << "no slot was reused";
}
TEST_F(Spoiled, ScratchValuesAliveTogetherShareBytes) {
  // z and y of the last stage: the call that writes y reads z.
  for (proto::Value& value : *stage(2)->mutable_values()) {
    if (value.name() == "h2") value.set_offset(tiny::kTransient);
  }
  ExpectRule("unordered-bytes", "stage 2, phase F, call 1");
}
TEST_F(Spoiled, ScratchOverwrittenBeforeItIsRead) {
  // z shares bytes with the sum of the last stage: harmless, for z is dead by then.
  for (proto::Value& value : *stage(2)->mutable_values()) {
    if (value.name() == "sum") value.set_offset(tiny::kTransient);
  }
  EXPECT_TRUE(VerifyPlan(plan_).ok()) << VerifyPlan(plan_).message();
  // But not when z is read once more at the end.
  proto::PhaseProgram* f = stage(2)->mutable_phases(0);
  *f->add_calls() = f->calls(1);
  ExpectRule("unordered-bytes", "stage 2, phase F, call 6");
}
TEST_F(Spoiled, KernelScratchOverValues) {
  proto::KernelCall* call = stage(2)->mutable_phases(0)->mutable_calls(1);
  call->set_scratch_offset(tiny::kTransient);  // where its input z lies
  call->set_scratch_bytes(8);
  ExpectRule("unordered-bytes", "the scratch of a kernel");
}
TEST_F(Spoiled, LiveBytes) {
  rank(1)->set_largest_live_bytes(rank(1)->largest_live_bytes() - 256);
  ExpectRule("live-bytes", "program train, rank 1");
}

// ---- hash, model

TEST_F(Spoiled, Hash) {
  const std::string path = testing::TempDir() + "/plan.pb";
  ASSERT_TRUE(WriteMessage(path, plan_).ok());
  EXPECT_TRUE(LoadPlan(path).ok()) << LoadPlan(path).status();
  plan_.set_model_name("tiny2");
  ASSERT_TRUE(WriteMessage(path, plan_).ok());
  const absl::Status status = LoadPlan(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rule hash"));
  plan_.set_schema_version(1);
  rank(1)->set_largest_live_bytes(1);
  SealPlan(&plan_);
  ASSERT_TRUE(WriteMessage(path, plan_).ok());
  EXPECT_THAT(std::string(LoadPlan(path).status().message()), HasSubstr("rule live-bytes"));
}
TEST_F(Spoiled, PlanForAnotherModel) {
  proto::Model model;
  model.set_name("tiny");
  plan_.set_model_hash(Sha256Hex(CanonicalBytes(model)));
  EXPECT_TRUE(VerifyPlanIsFor(plan_, model).ok());
  model.set_name("other");
  EXPECT_EQ(VerifyPlanIsFor(plan_, model).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(Spoiled, SharedTimesAndLinksAreFigures) {
  train()->mutable_stages(0)->mutable_phases(0)->set_seconds_shared(0.0 / 0.0);
  ExpectRule("figures", "seconds_shared");
  train()->mutable_stages(0)->mutable_phases(0)->set_seconds_shared(1);
  train()->mutable_stages(0)->mutable_phases(0)->mutable_calls(0)->set_seconds_shared(-1);
  ExpectRule("figures", "shared");
  train()->mutable_stages(0)->mutable_phases(0)->mutable_calls(0)->set_seconds_shared(1);
  proto::PlannedLink& link = *plan_.add_links();
  link.set_to_rank(1);
  link.set_latency_seconds(-1);
  ExpectRule("figures", "link 0");
  link.set_latency_seconds(0);
  link.set_bytes_per_second(1.0 / 0.0);
  ExpectRule("figures", "bytes_per_second");
  link.set_bytes_per_second(1);
  link.set_from_rank(70);
  ExpectRule("index", "link 0");
  link.set_from_rank(0);
  plan_.mutable_costs()->set_instruction_seconds(-1);
  ExpectRule("figures", "instruction_seconds");
}

}  // namespace
}  // namespace millrace
