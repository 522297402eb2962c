// Rules about places, sizes and operators: each is broken once by hand, and the message names the rule and the place.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/verify.h"
#include "tests/runtime/plan/spoiled.h"

namespace millrace {
namespace {

using proto::Instruction;

TEST_F(Spoiled, NothingYet) { EXPECT_TRUE(VerifyPlan(plan_).ok()); }

TEST_F(Spoiled, Version) {
  plan_.set_schema_version(2);
  ExpectRule("version", "schema version 2");
}

// ---- index

TEST_F(Spoiled, StageOfRun) {
  at(1, FindRun(1, proto::F, 2))->set_stage(77);
  ExpectRule("index", "stage 77 of 3");
}
TEST_F(Spoiled, MicroBatch) {
  const int i = FindRun(1, proto::F, 3);
  at(1, i)->set_micro_batch(4);
  ExpectRule("index", Place(1, i));
}
TEST_F(Spoiled, PhaseThatTheStageHasNot) {
  const int i = FindRun(1, proto::F, 3);
  at(1, i)->set_phase(proto::R);
  ExpectRule("index", Place(1, i));
}
TEST_F(Spoiled, EdgeOfSend) {
  const int i = Find(0, Instruction::SEND, 1);
  at(0, i)->set_edge(4000000000u);
  ExpectRule("index", "edge 4000000000 of 4");
}
TEST_F(Spoiled, Bucket) {
  at(0, Find(0, Instruction::STEP))->set_bucket(9);
  ExpectRule("index", "bucket 9 of 4");
}
TEST_F(Spoiled, AfterIsNotEarlier) {
  const int i = FindRun(1, proto::F, 0);
  at(1, i)->add_after(i);
  ExpectRule("index", "not earlier");
}
TEST_F(Spoiled, ValueOfCall) {
  stage(1)->mutable_phases(0)->mutable_calls(0)->set_inputs(0, 1000);
  ExpectRule("index", "value 1000");
}
TEST_F(Spoiled, PoolOfValue) {
  stage(1)->mutable_values(0)->set_pool(12);
  ExpectRule("index", "pool 12 of 4");
}
TEST_F(Spoiled, SlotOfRun) {
  const int i = FindRun(1, proto::F, 2);
  at(1, i)->mutable_slots(0)->set_slot(99);
  ExpectRule("index", Place(1, i));
}
TEST_F(Spoiled, SlotsInAnotherOrder) {
  const int i = FindRun(1, proto::F, 2);
  at(1, i)->mutable_slots()->SwapElements(0, 1);
  ExpectRule("index", Place(1, i));
}
TEST_F(Spoiled, ParameterOfBucket) {
  plan_.mutable_buckets(1)->set_parameters(0, 44);
  ExpectRule("index", "parameter 44 of 4");
}
TEST_F(Spoiled, RankOfPlace) {
  plan_.mutable_parameters(1)->mutable_places(0)->set_rank(3);
  ExpectRule("index", "rank 3 of 3");
}
TEST_F(Spoiled, GroupWithoutOwner) {
  plan_.mutable_buckets(3)->mutable_group()->SwapElements(0, 1);
  ExpectRule("index", "begin with its owner");
}
TEST_F(Spoiled, EdgeValue) {
  train()->mutable_edges(0)->set_to_value(500);
  ExpectRule("index", "edge 0");
}
TEST_F(Spoiled, PrepareOfNoCall) {
  stage(1)->add_prepare()->set_call(3);
  ExpectRule("index", "PREPARE");
}
TEST_F(Spoiled, SendOnTheComputeChannel) {
  at(0, Find(0, Instruction::SEND, 1))->set_channel(0);
  ExpectRule("index", "channel 0");
}
TEST_F(Spoiled, RunThatWritesWeights) {
  stage(1)->mutable_phases(0)->mutable_calls(0)->set_outputs(0, 1);
  ExpectRule("index", "PARAMETER");
}

// ---- extent, alignment, overlap, capacity

TEST_F(Spoiled, ValueLeavesItsSlot) {
  stage(1)->mutable_values(0)->set_offset(256);
  ExpectRule("extent", "outside a slot");
}
TEST_F(Spoiled, ValueOffsetOverflows) {
  stage(1)->mutable_values(0)->set_offset(~uint64_t{0} - 255);
  ExpectRule("extent", "outside a slot");
}
TEST_F(Spoiled, RegionOverflows) {
  plan_.mutable_ranks(0)->mutable_regions(5)->set_bytes(~uint64_t{0});
  ExpectRule("extent", "rank 0");
}
TEST_F(Spoiled, PoolOverflows) {
  rank(1)->mutable_pools(0)->set_stride(uint64_t{1} << 63);
  ExpectRule("extent", "overflow");
}
TEST_F(Spoiled, TypeOverflows) {
  stage(1)->mutable_values(0)->mutable_type()->set_dims(0, int64_t{1} << 62);
  ExpectRule("extent", "type");
}
TEST_F(Spoiled, SymbolicDimension) {
  stage(1)->mutable_values(0)->mutable_type()->set_dims(0, -1);
  ExpectRule("extent", "type");
}
TEST_F(Spoiled, WeightOutsideTheArena) {
  plan_.mutable_parameters(1)->mutable_places(0)->set_weight_offset(1 << 20);
  ExpectRule("extent", "w1");
}
TEST_F(Spoiled, AccumulatorElsewhere) {
  for (proto::Value& value : *stage(1)->mutable_values()) {
    if (value.life() == proto::GRADIENT) value.set_offset(tiny::kStates);
  }
  ExpectRule("extent", "not an accumulator");
}
// Of the same size, so the bytes would be all right.
TEST_F(Spoiled, WeightOfAnotherParameter) {
  for (proto::Value& value : *stage(0)->mutable_values()) {
    if (value.name() == "w0") value.set_offset(tiny::kTied);
  }
  ExpectRule("extent", "not where the parameter of that name is");
}
TEST_F(Spoiled, AccumulatorOfAnotherParameter) {
  for (proto::Value& value : *stage(0)->mutable_values()) {
    if (value.name() == "grad/w0@ReduceSumTo") value.set_offset(tiny::kTiedGradient);
  }
  ExpectRule("extent", "not the accumulator of that parameter and node");
}
TEST_F(Spoiled, ScratchValueOutsideScratch) {
  stage(1)->mutable_values(stage(1)->values_size() - 1)->set_offset(tiny::kTransient + 1536);
  ExpectRule("extent", "scratch");
}
TEST_F(Spoiled, KernelScratchOutsideScratch) {
  stage(1)->mutable_phases(0)->mutable_calls(0)->set_scratch_offset(tiny::kTransient);
  stage(1)->mutable_phases(0)->mutable_calls(0)->set_scratch_bytes(1537);
  ExpectRule("extent", "scratch");
}
TEST_F(Spoiled, AByteTooSmallAnArena) {
  plan_.mutable_ranks(2)->set_arena_bytes(plan_.ranks(2).arena_bytes() - 1);
  ExpectRule("extent", "rank 2");
}
TEST_F(Spoiled, Alignment) {
  rank(1)->mutable_pools(0)->set_offset(rank(1)->pools(0).offset() + 8);
  ExpectRule("alignment", "program train, rank 1");
}
TEST_F(Spoiled, PoolsShareBytes) {
  rank(1)->mutable_pools(1)->set_offset(rank(1)->pools(0).offset());
  ExpectRule("overlap", "program train, rank 1");
}
TEST_F(Spoiled, PoolAndScratchShareBytes) {
  rank(1)->mutable_pools(0)->set_offset(tiny::kTransient + 1280);
  ExpectRule("overlap", "the scratch");
}
TEST_F(Spoiled, RegionsShareBytes) {
  plan_.mutable_ranks(1)->mutable_regions(0)->set_bytes(513);
  ExpectRule("overlap", "\"weights\" and \"gradients\"");
}
TEST_F(Spoiled, WeightAndStateShareBytes) {
  plan_.mutable_buckets(1)->mutable_states(0)->set_offsets(0, tiny::kWeight);
  ExpectRule("overlap", "w1");
}
TEST_F(Spoiled, AByteTooLittleMemory) {
  plan_.mutable_ranks(2)->set_memory_limit(plan_.ranks(2).arena_bytes() - 1);
  ExpectRule("capacity", "rank 2");
}
TEST_F(Spoiled, LibrariesDoNotFitBeside) {
  plan_.mutable_ranks(2)->set_outside_bytes(~uint64_t{0});
  ExpectRule("capacity", "rank 2");
}

// ---- calls

TEST_F(Spoiled, UnknownOperator) {
  stage(2)->mutable_phases(0)->mutable_calls(1)->set_op("Frobnicate");
  ExpectRule("known-op", "stage 2, phase F, call 1");
}
TEST_F(Spoiled, UnknownKindOfInstruction) {
  const int i = Find(1, Instruction::NORM);
  at(1, i)->set_kind(static_cast<Instruction::Kind>(99));
  ExpectRule("known-op", Place(1, i));
}
TEST_F(Spoiled, OperandsDoNotFit) {
  proto::KernelCall* call = stage(0)->mutable_phases(0)->mutable_calls(0);
  call->set_inputs(0, 1);  // w, of 4 elements: w + tied is no [2,4]
  ExpectRule("shapes", "stage 0, phase F, call 0");
}
TEST_F(Spoiled, BytesAreNotTheTypes) {
  stage(1)->mutable_values(0)->set_bytes(36);
  ExpectRule("shapes", "36 bytes");
}
TEST_F(Spoiled, EdgeOfOtherBytes) {
  train()->mutable_edges(0)->set_bytes(16);
  ExpectRule("shapes", "edge 0");
}
TEST_F(Spoiled, PackedWeightsThatNobodyPacks) {
  proto::KernelCall* call = stage(1)->mutable_phases(0)->mutable_calls(0);
  call->set_packed_offset(tiny::kTied);  // rank 1 has no tied weight: free bytes of the region
  call->set_packed_bytes(64);
  ExpectRule("completeness", "PREPARE");
}
TEST_F(Spoiled, PackedWeightsArePackedAgain) {
  proto::KernelCall* call = stage(1)->mutable_phases(0)->mutable_calls(0);
  call->set_packed_offset(tiny::kTied);
  call->set_packed_bytes(64);
  stage(1)->add_prepare()->set_phase(proto::F);
  EXPECT_TRUE(VerifyPlan(plan_).ok()) << VerifyPlan(plan_).message();
  Drop(1, Find(1, Instruction::PREPARE, 0));
  ExpectRule("completeness", "PREPARE");
}

}  // namespace
}  // namespace millrace
