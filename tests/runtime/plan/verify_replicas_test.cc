// Rules about replicas: each is broken once by hand in a plan of two pipelines, and the message names the rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "partitioner/graph/gpt2.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/shards.h"
#include "runtime/plan/verify.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

using proto::Instruction;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ReplicaRules : public testing::Test {
 protected:
  void SetUp() override {
    Gpt2Options o;
    o.layers = 2;
    o.heads = 2;
    o.width = 16;
    o.vocabulary = 31;
    o.context = 8;
    const auto model = MakeGpt2(o);
    ASSERT_TRUE(model.ok()) << model.status();
    PartitionOptions options = OptionsFor("cpu", 4);
    options.pp = options.dp = 2;
    options.shard_optimizer = 1;
    options.micro_batches = 2;
    const auto plan = PlanFor(*model, options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    plan_ = *plan;
  }
  void ExpectRule(const std::string& rule, const std::string& also) {
    const absl::Status status = VerifyPlan(plan_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("rule " + rule + ": "), HasSubstr(also)));
  }
  // The first instruction of its kind on rank 0 that works on a bucket of this rank alone disappears, and its number
  // from every `after`.
  void Drop(Instruction::Kind kind) {
    proto::RankProgram& list = *plan_.mutable_programs(0)->mutable_ranks(0);
    int i = 0;
    while (list.instructions(i).kind() != kind || plan_.buckets(list.instructions(i).bucket()).group_size() > 1) ++i;
    list.mutable_instructions()->DeleteSubrange(i, 1);
    for (Instruction& later : *list.mutable_instructions()) {
      std::vector<uint32_t> after;
      for (uint32_t a : later.after()) {
        if (static_cast<int>(a) != i) after.push_back(static_cast<int>(a) > i ? a - 1 : a);
      }
      later.mutable_after()->Assign(after.begin(), after.end());
    }
  }

  proto::ExecutionPlan plan_;
};

TEST_F(ReplicaRules, NothingYet) { EXPECT_TRUE(VerifyPlan(plan_).ok()); }

TEST_F(ReplicaRules, PlaceOfRank) {
  plan_.mutable_ranks(3)->set_replica(0);
  ExpectRule("index", "it must be 1 of 1");
}
TEST_F(ReplicaRules, ArenaOfReplica) {
  plan_.mutable_ranks(2)->mutable_regions(1)->set_name("elsewhere");
  ExpectRule("matching", "not laid out as that of rank 0");
}
TEST_F(ReplicaRules, MemoryOfReplica) {
  plan_.mutable_ranks(3)->set_memory_limit(4096);
  ExpectRule("capacity", "rank 3");
}
TEST_F(ReplicaRules, DegreesAreTheRanks) {
  plan_.set_dp(3);
  ExpectRule("index", "pp = 2 times dp = 3");
}
TEST_F(ReplicaRules, Level) {
  plan_.set_shard_optimizer(4);
  ExpectRule("index", "shard_optimizer is 4");
}
TEST_F(ReplicaRules, SumOrder) {
  plan_.set_sum_order(proto::REPLICAS_FIRST);
  ExpectRule("index", "level 1 sums micro-batches first");
}
TEST_F(ReplicaRules, NormBlocks) {
  plan_.set_norm_block_elements(0);
  ExpectRule("figures", "norm_block_elements is 0");
}
TEST_F(ReplicaRules, StateOfShard) {
  plan_.mutable_buckets(0)->mutable_shard_state_offsets()->RemoveLast();
  ExpectRule("index", "1 sharded state tensors");
}
TEST_F(ReplicaRules, WholeStateBesideShards) {
  plan_.mutable_buckets(0)->add_states();
  ExpectRule("index", "sharded ones have none of their own");
}
TEST_F(ReplicaRules, ShardsOfStateOverlap) {
  proto::Bucket& bucket = *plan_.mutable_buckets(0);
  bucket.set_shard_state_offsets(1, bucket.shard_state_offsets(0));
  ExpectRule("overlap", "sharded optimizer state of bucket 0");
}
TEST_F(ReplicaRules, StagingOutsideTheArena) {
  plan_.mutable_buckets(0)->set_replica_staging_offset(plan_.ranks(0).arena_bytes());
  ExpectRule("extent", "the staging of bucket 0");
}
TEST_F(ReplicaRules, GradientsNobodyAdds) {
  Drop(Instruction::REDUCE);
  ExpectRule("completeness", "has no REDUCE of bucket");
}
TEST_F(ReplicaRules, GradientsAddedTwice) {
  for (proto::RankProgram& rank : *plan_.mutable_programs(0)->mutable_ranks()) {
    auto& list = *rank.mutable_instructions();
    for (int i = 0; i < list.size(); ++i) {
      if (list[i].kind() != Instruction::REDUCE) continue;
      if (plan_.buckets(static_cast<int>(list[i].bucket())).group_size() > 1) continue;  // of several ranks: "matching"
      proto::Instruction again = list[i];
      again.clear_begins();
      again.clear_after();
      again.add_after(static_cast<uint32_t>(i));
      *list.Add() = again;
      for (int k = list.size() - 1; k > i + 1; --k) {
        list.SwapElements(k, k - 1);
        for (uint32_t& earlier : *list[k].mutable_after()) earlier += earlier > static_cast<uint32_t>(i) ? 1 : 0;
      }
      return ExpectRule("completeness", "has reduced it already");
    }
  }
  FAIL() << "no bucket belongs to one rank";
}
TEST_F(ReplicaRules, WeightsNobodyGathers) {
  Drop(Instruction::GATHER);
  ExpectRule("completeness", "has no GATHER of bucket");
}

TEST(Shards, CoverEveryElementOnceAndEndOnBlocks) {
  std::mt19937 random(11);
  const auto next = [&random](uint32_t most) { return random() % most; };
  for (int i = 0; i < 2000; ++i) {
    std::vector<Divisible> parameters(1 + next(6));
    std::vector<uint64_t> elements;
    for (Divisible& parameter : parameters) {
      parameter.elements = next(4) == 0 ? next(3) : next(5000);
      parameter.gradient_bytes = next(5) == 0 ? 8 : 4;
      parameter.weight_bytes = next(2) == 0 ? 2 : 4;
      elements.push_back(parameter.elements);
    }
    const uint64_t block = 1 + next(300);
    const int replicas = 1 + static_cast<int>(next(7));
    const std::vector<Shard> shards = ShardsOf(parameters, block, replicas);
    ASSERT_EQ(shards.size(), static_cast<size_t>(replicas));
    std::vector<uint64_t> covered(elements.size(), 0);
    for (const Shard& shard : shards) {
      uint64_t end = 0, weight_end = 0;
      for (const ShardPiece& piece : shard.pieces) {
        ASSERT_EQ(piece.first, covered[piece.member]);  // in the order of replicas, without gaps
        ASSERT_EQ(piece.first % block, 0u);
        covered[piece.member] += piece.elements;
        ASSERT_TRUE(covered[piece.member] % block == 0 || covered[piece.member] == elements[piece.member]);
        ASSERT_GE(piece.shard_offset, end);
        ASSERT_EQ(piece.shard_offset % 256, 0u);
        end = piece.shard_offset + piece.elements * parameters[piece.member].gradient_bytes;
        ASSERT_GE(piece.weight_offset, weight_end);
        ASSERT_EQ(piece.weight_offset % 256, 0u);
        weight_end = piece.weight_offset + piece.elements * parameters[piece.member].weight_bytes;
      }
      ASSERT_LE(end, shard.bytes);
      ASSERT_LE(weight_end, shard.weight_bytes);
    }
    ASSERT_EQ(covered, elements);
  }
}

}  // namespace
}  // namespace millrace
