// Tied weights between places with different numbers of replicas: everybody's gradient is added once, and everybody
// gets each element of the weight once.
#include "runtime/plan/ties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "partitioner/graph/gpt2.h"
#include "runtime/plan/plan.h"
#include "tests/parity/run_plan.h"

namespace millrace {
namespace {

TEST(Ties, EveryReplicaDealsWithOneOfTheOwners) {
  for (int owners = 1; owners <= 5; ++owners) {
    for (int replicas = 1; replicas <= 7; ++replicas) {
      std::vector<int> seen(replicas, 0);
      size_t most = 0;
      for (int owner = 0; owner < owners; ++owner) {
        const std::vector<int> with = ReplicasWith(owner, owners, replicas);
        EXPECT_TRUE(std::is_sorted(with.begin(), with.end()));
        most = std::max(most, with.size());
        for (int replica : with) {
          ++seen[replica];
          EXPECT_EQ(OwnerReplicaOf(replica, owners), owner);
        }
      }
      EXPECT_THAT(seen, testing::Each(1)) << owners << " and " << replicas;
      EXPECT_EQ(ArrivalsOfUse(owners, replicas), static_cast<int>(most)) << owners << " and " << replicas;
    }
  }
}

// The token table, on the first and the last stage.
TEST(Ties, PiecesOfBothPlacesCoverEachOther) {
  Gpt2Options o;
  o.layers = 2;
  o.heads = 2;
  o.width = 160;
  o.vocabulary = 211;
  o.context = 8;
  const auto model = MakeGpt2(o);
  ASSERT_TRUE(model.ok()) << model.status();
  for (const std::vector<int>& replicas : {std::vector<int>{3, 1}, {1, 4}, {2, 3}, {3, 2}, {2, 2}}) {
    PartitionOptions options = OptionsFor("cpu", std::accumulate(replicas.begin(), replicas.end(), 0));
    options.pp = 2;
    options.stage_replicas = replicas;
    options.shard_optimizer = 3;
    options.micro_batches = 12;
    const auto plan = PlanFor(*model, options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const Chunks chunks(*plan);
    int tied = 0;
    for (int p = 0; p < plan->parameters_size(); ++p) {
      const BucketMember* const of = chunks.MemberOf(p);
      if (of == nullptr || plan->parameters(p).places_size() < 2) continue;
      ++tied;
      const int owner = static_cast<int>(plan->parameters(p).places(0).rank());
      const int other = static_cast<int>(plan->parameters(p).places(1).rank());
      const uint64_t elements = DivisibleOf(plan->parameters(p)).elements;
      for (const auto& [here, there] : {std::pair(owner, other), std::pair(other, owner)}) {
        std::vector<int> covered(elements, 0);
        for (size_t r = 0; r < RanksAt(*plan, here).size(); ++r) {
          const ShardPiece* const piece = chunks.PieceOf(*of, here, static_cast<int>(r));
          if (piece == nullptr) continue;
          for (const CommonElements& common : CommonWith(chunks, *of, there, piece->first, piece->elements)) {
            const ShardPiece* const its = chunks.PieceOf(*of, there, common.replica);
            ASSERT_NE(its, nullptr);
            EXPECT_GE(common.first, std::max(its->first, piece->first));
            EXPECT_LE(common.first + common.elements,
                      std::min(its->first + its->elements, piece->first + piece->elements));
            for (uint64_t e = 0; e < common.elements; ++e) ++covered[common.first + e];
          }
        }
        EXPECT_THAT(covered, testing::Each(1)) << replicas[0] << "-" << replicas[1];
      }
    }
    EXPECT_EQ(tied, 1);
  }
}

}  // namespace
}  // namespace millrace
