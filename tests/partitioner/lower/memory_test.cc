// How well lowering lays out memory, and what the layout of parameters must be.
#include <algorithm>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "kernels/op_desc.h"
#include "partitioner/graph/gpt2.h"
#include "partitioner/graph/llama.h"
#include "partitioner/graph/mlp.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"
#include "tests/partitioner/test_models.h"

namespace millrace {
namespace {

absl::StatusOr<proto::ExecutionPlan> Plan(const proto::Model& model, const PartitionOptions& options) {
  MR_ASSIGN_OR_RETURN(proto::ExecutionPlan plan, Partition(model, options, MadeUpNeeds));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

TEST(MemoryTest, ArenaIsHardlyLargerThanWhatIsAlive) {
  const std::vector<NamedModel> models = {
      {"gpt2", MakeGpt2({.layers = 8, .heads = 4, .width = 128, .vocabulary = 1000, .context = 64}).value()},
      {"gpt2 dropout",
       MakeGpt2({.layers = 4, .heads = 4, .width = 64, .vocabulary = 100, .context = 128, .dropout = 0.1}).value()},
      {"llama",
       MakeLlama({.layers = 8, .heads = 4, .width = 128, .hidden = 344, .vocabulary = 1000, .context = 64}).value()},
      {"mlp", MakeMlp({.layers = 8, .features = 64, .width = 128}).value()}};
  for (const NamedModel& named : models) {
    for (int pp : {1, 2, 3, 4}) {
      for (const char* schedule : {"gpipe", "1f1b"}) {
        for (int64_t micro_batches : {4, 8}) {
          PartitionOptions options = OptionsFor(pp, micro_batches, schedule);
          options.micro_batch = 4;
          const auto plan = Plan(named.model, options);
          ASSERT_TRUE(plan.ok()) << plan.status();
          for (const proto::Rank& rank : plan->ranks()) {
            uint64_t alive = 0;
            for (const proto::Program& program : plan->programs()) {
              alive = std::max<uint64_t>(alive, program.ranks(rank.rank()).largest_live_bytes());
            }
            EXPECT_LE(static_cast<double>(rank.arena_bytes()), 1.1 * static_cast<double>(alive))
                << named.name << " pp " << pp << " " << schedule << " m " << micro_batches << " rank " << rank.rank();
          }
        }
      }
    }
  }
}

TEST(MemoryTest, OneFOneBHoldsFewerMicroBatchesThanGPipe) {
  const auto model = MakeGpt2({.layers = 8, .heads = 4, .width = 64, .vocabulary = 100, .context = 64}).value();
  std::map<std::string, std::vector<uint32_t>> stash;
  for (const char* schedule : {"gpipe", "1f1b"}) {
    PartitionOptions options = OptionsFor(4, 8, schedule);
    const auto plan = Plan(model, options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    for (const proto::RankProgram& rank : plan->programs(0).ranks()) {
      uint32_t slots = 0;
      for (const proto::Pool& pool : rank.pools()) {
        if (pool.life() == proto::STASH_FB) slots = std::max(slots, pool.slots());
      }
      stash[schedule].push_back(slots);
    }
  }
  EXPECT_EQ(stash["gpipe"], std::vector<uint32_t>({8, 8, 8, 8}));
  EXPECT_EQ(stash["1f1b"], std::vector<uint32_t>({4, 3, 2, 1}));
}

TEST(MemoryTest, WhatIsSentIsNotOverwrittenByTheNextMicroBatch) {
  const auto model = MakeGpt2({.layers = 48, .heads = 4, .width = 128, .vocabulary = 1000, .context = 64}).value();
  // The extra slots are bounded by a share of the rank's pools, so both ranks get half of the layers.
  PartitionOptions options = OptionsFor(2, 8, "1f1b");
  options.cut = "even";
  const auto plan = Plan(model, options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  int sends = 0;
  for (const proto::RankProgram& rank : plan->programs(0).ranks()) {
    std::map<uint32_t, uint32_t> slot_of;  // by edge: of the micro-batch before
    for (const proto::Instruction& instruction : rank.instructions()) {
      if (instruction.kind() != proto::Instruction::SEND) continue;
      const proto::SlotUse& use = instruction.slots(0);
      if (rank.pools(use.pool()).life() != proto::SENT) continue;
      const auto [before, is_first] = slot_of.emplace(instruction.edge(), use.slot());
      sends += !is_first;
      if (!is_first) EXPECT_NE(before->second, use.slot()) << rank.rank() << " edge " << instruction.edge();
      before->second = use.slot();
    }
  }
  EXPECT_GE(sends, 14);
}

TEST(MemoryTest, TiedParameterStandsOnEveryRankThatUsesIt) {
  PartitionOptions options = OptionsFor(3, 2);
  options.cut = "even";
  const auto plan = Plan(TiedLayers(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const proto::PlannedParameter* tied = nullptr;
  const proto::PlannedParameter* frozen = nullptr;
  int tied_index = -1;
  for (int p = 0; p < plan->parameters_size(); ++p) {
    if (plan->parameters(p).name() == "tied") tied = &plan->parameters(p), tied_index = p;
    if (plan->parameters(p).name() == "frozen") frozen = &plan->parameters(p);
  }
  ASSERT_TRUE(tied != nullptr && frozen != nullptr);
  std::set<uint32_t> orders;
  for (const proto::ParameterPlace& place : tied->places()) {
    for (const proto::GradientPlace& use : place.gradients()) orders.insert(use.order());
  }
  EXPECT_EQ(orders, std::set<uint32_t>({0, 1, 2}));
  EXPECT_GT(tied->places_size(), 1);
  EXPECT_EQ(tied->places(0).rank(), 0u);
  EXPECT_FALSE(frozen->trainable());
  EXPECT_GT(frozen->places_size(), 1);
  int buckets = 0, reduces = 0, gathers = 0;
  for (const proto::Bucket& bucket : plan->buckets()) {
    if (std::find(bucket.parameters().begin(), bucket.parameters().end(), tied_index) == bucket.parameters().end()) {
      EXPECT_EQ(bucket.group_size(), 1);
      continue;
    }
    ++buckets;
    EXPECT_EQ(bucket.parameters_size(), 1);
    EXPECT_EQ(bucket.group_size(), tied->places_size());
  }
  EXPECT_EQ(buckets, 1);
  for (const proto::RankProgram& rank : plan->programs(0).ranks()) {
    for (const proto::Instruction& instruction : rank.instructions()) {
      reduces += instruction.kind() == proto::Instruction::REDUCE;
      gathers += instruction.kind() == proto::Instruction::GATHER;
    }
  }
  EXPECT_EQ(reduces, tied->places_size());
  EXPECT_EQ(gathers, tied->places_size());
}

TEST(MemoryTest, FrozenParametersHaveNoGradientAndNoState) {
  const auto plan = Plan(PartlyFrozen(), OptionsFor(2, 2));
  ASSERT_TRUE(plan.ok()) << plan.status();
  int frozen = 0;
  for (int p = 0; p < plan->parameters_size(); ++p) {
    if (plan->parameters(p).trainable()) continue;
    ++frozen;
    for (const auto& place : plan->parameters(p).places()) EXPECT_EQ(place.gradients_size(), 0);
    for (const proto::Bucket& bucket : plan->buckets()) {
      for (uint32_t member : bucket.parameters()) EXPECT_NE(member, p);
    }
  }
  EXPECT_GT(frozen, 0);
}

TEST(MemoryTest, EqualPackingsAreKeptOnce) {
  PartitionOptions options = OptionsFor(1, 2);
  options.custom_schedule = Schedule::ParseCsv("0F0,0BW0,0F1,0B1,0W1\n").value();
  const auto plan = Plan(MakeMlp({.layers = 3, .features = 8, .width = 8}).value(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  // Offsets of packings by what they are made of: one each, over phases and programs.
  std::map<std::string, std::set<int64_t>> offsets;
  size_t calls = 0;
  for (const proto::Program& program : plan->programs()) {
    for (const proto::StageProgram& stage : program.stages()) {
      for (const proto::PhaseProgram& phase : stage.phases()) {
        for (const proto::KernelCall& call : phase.calls()) {
          if (call.packed_offset() < 0) continue;
          ++calls;
          const bool transposed = Attributes(call.attributes()).Int("transB", 0) == 1;
          offsets[call.op() + stage.values(call.inputs(1)).name() + (transposed ? "'" : "")].insert(
              call.packed_offset());
        }
      }
    }
  }
  EXPECT_GT(calls, offsets.size());
  for (const auto& [what, at] : offsets) EXPECT_EQ(at.size(), 1u) << what;
}

}  // namespace
}  // namespace millrace
