#include "runtime/worker/bind.h"

#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/worker/poison.h"
#include "runtime/worker/transient.h"
#include "tests/runtime/worker/toy_device.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

using proto::Instruction;

ToyOptions TwoRanks() {
  ToyOptions toy;
  toy.stages = toy.ranks = 2;
  return toy;
}

// Positions in rank 1's training program of the receives of forward tensors.
std::vector<int> ForwardReceives(const proto::ExecutionPlan& plan) {
  std::vector<int> found;
  const auto& list = plan.programs(0).ranks(1).instructions();
  for (int i = 0; i < list.size(); ++i) {
    if (list[i].kind() == Instruction::RECV) found.push_back(i);
  }
  return found;
}

TEST(Bind, ATransferWaitsForAnEarlierOneOfItsChannelOnlyWhereTheyShareBytes) {
  const ToyOptions toy = TwoRanks();
  for (const bool same_slot : {false, true}) {
    proto::ExecutionPlan plan = ToyPlan(toy);
    const std::vector<int> receives = ForwardReceives(plan);
    ASSERT_EQ(receives.size(), 2u);
    Instruction* second = plan.mutable_programs(0)->mutable_ranks(1)->mutable_instructions(receives[1]);
    if (same_slot) {
      for (proto::SlotUse& use : *second->mutable_slots()) use.set_slot(0);
    }
    ToyDevice device;
    absl::StatusOr<Arena> arena = Arena::Make(&device, plan.ranks(1).arena_bytes());
    ASSERT_TRUE(arena.ok());
    Binding binding(&device);
    absl::Status status = BindPrograms(plan, 1, *arena, &binding);
    ASSERT_TRUE(status.ok()) << status;
    const BoundInstruction& bound = binding.programs[0]->instructions[receives[1]];
    ASSERT_EQ(bound.transfers.size(), 1u);
    EXPECT_FALSE(bound.transfers[0].send);
    EXPECT_EQ(bound.transfers[0].peer, 0);
    EXPECT_EQ(bound.transfers[0].bytes, 60u);
    EXPECT_EQ(bound.position, 1);
    ASSERT_EQ(bound.waits.size(), same_slot ? 1u : 0u);
    if (!same_slot) continue;
    EXPECT_EQ(bound.waits[0].channel, bound.channel);
    EXPECT_EQ(bound.waits[0].position, 0);
  }
}

TEST(Bind, MicroBatchesThatUseTheSameSlotsShareTheirArguments) {
  ToyOptions toy;
  toy.micro_batches = 4;
  proto::ExecutionPlan plan = ToyPlan(toy);
  proto::RankProgram* rank = plan.mutable_programs(0)->mutable_ranks(0);
  for (Instruction& instruction : *rank->mutable_instructions()) {
    for (proto::SlotUse& use : *instruction.mutable_slots()) use.set_slot(use.slot() % 2);
  }
  ToyDevice device;
  absl::StatusOr<Arena> arena = Arena::Make(&device, plan.ranks(0).arena_bytes());
  ASSERT_TRUE(arena.ok());
  Binding binding(&device);
  ASSERT_TRUE(BindPrograms(plan, 0, *arena, &binding).ok());
  std::set<const BoundRun*> runs;
  for (const BoundInstruction& bound : binding.programs[0]->instructions) {
    if (bound.run != nullptr) runs.insert(bound.run);
  }
  EXPECT_EQ(runs.size(), 4u);  // forward and backward, in two slots
}

TEST(Bind, AddressesAreWhatThePlanSays) {
  const proto::ExecutionPlan plan = ToyPlan(ToyOptions());
  ToyDevice device;
  absl::StatusOr<Arena> arena = Arena::Make(&device, plan.ranks(0).arena_bytes());
  ASSERT_TRUE(arena.ok());
  Binding binding(&device);
  ASSERT_TRUE(BindPrograms(plan, 0, *arena, &binding).ok());
  const proto::RankProgram& rank = plan.programs(0).ranks(0);
  for (size_t i = 0; i < binding.programs[0]->instructions.size(); ++i) {
    const BoundInstruction& bound = binding.programs[0]->instructions[i];
    if (bound.run == nullptr || bound.source->phase() != proto::F) continue;
    const proto::Pool& features = rank.pools(0);
    const BoundCall& mul = bound.run->calls[0];
    EXPECT_EQ(mul.args.inputs[0], arena->base() + features.offset() + bound.source->micro_batch() * features.stride());
    EXPECT_EQ(mul.args.inputs[1], arena->base() + plan.parameters(0).places(0).weight_offset());
    EXPECT_EQ(mul.args.packed, nullptr);
  }
  EXPECT_EQ(binding.programs[0]->loss_count, arena->base() + 256);
}

TEST(Bind, EnteringAProgramFillsWhatIsTransientAndNothingElse) {
  const proto::ExecutionPlan plan = ToyPlan(ToyOptions());
  ToyDevice device;
  absl::StatusOr<Arena> arena = Arena::Make(&device, plan.ranks(0).arena_bytes());
  ASSERT_TRUE(arena.ok());
  Binding binding(&device);
  ASSERT_TRUE(BindPrograms(plan, 0, *arena, &binding).ok());
  for (const auto& program : binding.programs) {
    std::vector<char> before(arena->bytes(), 0x11), after(arena->bytes());
    UnpoisonMemory(arena->base(), arena->bytes());
    ASSERT_TRUE(device.CopyIn(arena->base(), before.data(), before.size()).ok());
    ASSERT_TRUE(EnterProgram(*program, *arena, true, **device.NewStream()).ok());
    // Where the address sanitizer watches, the bytes between values of 60 bytes and slots of 256 are out of bounds.
    EXPECT_EQ(program->gaps.empty(), !CanPoison());
    UnpoisonMemory(arena->base(), arena->bytes());
    ASSERT_TRUE(device.CopyOut(after.data(), arena->base(), after.size()).ok());
    ASSERT_FALSE(program->transient.empty());
    for (const ByteRange& range : program->transient) {
      for (uint64_t i = range.begin; i < range.end; ++i) {
        ASSERT_EQ(after[i], '\xff') << i;
        after[i] = 0x11;
      }
    }
    EXPECT_EQ(after, before);
    const proto::Pool& pool = program->rank->pools(0);
    EXPECT_LE(program->transient.front().begin, pool.offset());
    EXPECT_GE(program->transient.back().end, pool.offset() + pool.stride() * pool.slots());
  }
}

TEST(Bind, TagsAreDistinct) {
  std::set<uint64_t> tags;
  for (const TagKind kind : {TagKind::kEdge, TagKind::kReduce, TagKind::kGather}) {
    for (uint64_t program = 0; program < 3; ++program) {
      for (uint64_t a = 0; a < 3; ++a) {
        for (uint64_t b = 0; b < 3; ++b) EXPECT_TRUE(tags.insert(TransferTag(kind, program, a, b)).second);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
