#include "runtime/comm/nccl/groups.h"

#include <algorithm>
#include <set>

#include "gmock/gmock.h"
#include "partitioner/lower/transfer_groups.h"

namespace millrace {
namespace {

using testing::ElementsAre;

// Two replicas of a pipeline of three ranks; stage 3 is on rank 0 again; an edge skips a stage; one tied parameter.
proto::ExecutionPlan SmallPlan() {
  proto::ExecutionPlan plan;
  plan.set_pp(3);
  plan.set_dp(2);
  proto::Program* program = plan.add_programs();
  for (int s = 0; s < 4; ++s) program->add_stages()->set_stage(s);
  for (uint32_t r = 0; r < 3; ++r) {
    proto::RankProgram* rank = program->add_ranks();
    rank->set_rank(r);
    rank->add_stages(r);
    if (r == 0) rank->add_stages(3);
  }
  const auto edge = [&](int from, int to) {
    program->add_edges()->set_from_stage(from);
    program->mutable_edges()->rbegin()->set_to_stage(to);
  };
  edge(0, 1), edge(1, 2), edge(2, 3), edge(0, 2), edge(1, 0), edge(0, 1), edge(0, 3);
  proto::Bucket* tied = plan.add_buckets();
  tied->set_owner(2);
  tied->add_group(2), tied->add_group(0);
  for (uint32_t owner : {0, 1, 1}) plan.add_buckets()->set_owner(owner);
  for (uint32_t rank = 0; rank < 6; ++rank) {
    proto::Rank* added = plan.add_ranks();
    added->set_rank(rank);
    added->set_pipeline(rank % 3);
    added->set_replica(rank / 3);
  }
  AddTransferGroups(&plan);
  return plan;
}

TEST(NcclGroups, OfAPlanAreItsDirectionsTiesAndReplicas) {
  std::vector<std::string> names;
  const std::vector<NcclGroup> groups = GroupsOf(SmallPlan());
  for (const NcclGroup& group : groups) names.push_back(group.name);
  EXPECT_THAT(names, ElementsAre("edge 0 to 1", "edge 3 to 4", "edge 1 to 2", "edge 4 to 5", "edge 2 to 0",
                                 "edge 5 to 3", "edge 0 to 2", "edge 3 to 5", "edge 1 to 0", "edge 4 to 3", "ties 0 2",
                                 "ties 3 5", "replicas 2 5", "replicas 0 3", "replicas 1 4"));
  EXPECT_TRUE(CheckGroups(groups, 6).ok());
}

TEST(NcclGroups, TheirBytesAreOutsideTheArenaOfEachOfTheirRanks) {
  const proto::ExecutionPlan plan = SmallPlan();
  std::vector<uint64_t> bytes(6, kCommunicatorBytes);  // of the one of all ranks
  for (const proto::TransferGroup& group : plan.transfer_groups()) {
    EXPECT_EQ(group.bytes(), kCommunicatorBytes * (group.ranks_size() - 1)) << group.name();
    for (uint32_t rank : group.ranks()) bytes[rank] += group.bytes();
  }
  for (int rank = 0; rank < 6; ++rank) EXPECT_EQ(plan.ranks(rank).outside_bytes(), bytes[rank]) << rank;
}

TEST(NcclGroups, OneRankHasNone) {
  proto::ExecutionPlan plan;
  plan.add_ranks();
  AddTransferGroups(&plan);
  EXPECT_EQ(plan.transfer_groups_size(), 0);
  EXPECT_EQ(plan.ranks(0).outside_bytes(), 0);
}

TEST(NcclGroups, AStageWithItsOwnReplicasHasAGroup) {
  proto::ExecutionPlan plan;  // 3 replicas of a stage, then 1
  plan.set_pp(4);
  plan.set_dp(1);
  for (uint32_t rank = 0; rank < 4; ++rank) {
    proto::Rank* added = plan.add_ranks();
    added->set_rank(rank);
    added->set_pipeline(rank < 3 ? 0 : 3);
    added->set_replica(rank < 3 ? rank : 0);
  }
  plan.add_buckets()->set_owner(0);
  plan.add_buckets()->set_owner(3);
  proto::Bucket* const tied = plan.add_buckets();
  tied->set_owner(3);
  tied->add_group(3), tied->add_group(0);
  AddTransferGroups(&plan);
  std::vector<std::string> names;
  for (const NcclGroup& group : GroupsOf(plan)) names.push_back(group.name);
  EXPECT_THAT(names, ElementsAre("ties 0 1 2 3", "replicas 0 1 2"));
}

TEST(NcclGroups, RoundsAreDisjointAndHoldEveryGroupOnce) {
  for (const std::vector<NcclGroup>& groups : {GroupsOf(SmallPlan()), AllPairs(5), AllPairs(8)}) {
    std::multiset<int> seen;
    const std::vector<std::vector<int>> rounds = SplitRounds(groups);
    for (const std::vector<int>& round : rounds) {
      std::multiset<int> ranks;
      for (int g : round) {
        seen.insert(g);
        ranks.insert(groups[g].ranks.begin(), groups[g].ranks.end());
      }
      for (int rank : ranks) EXPECT_EQ(ranks.count(rank), 1);
    }
    EXPECT_EQ(seen.size(), groups.size());
    for (size_t g = 0; g < groups.size(); ++g) EXPECT_EQ(seen.count(static_cast<int>(g)), 1);
  }
  // The replicas of a stage pair share a round, and whoever else is free.
  EXPECT_THAT(SplitRounds(GroupsOf(SmallPlan()))[0], ElementsAre(0, 1, 12));
}

TEST(NcclGroups, RoutesAreByPeerDirectionAndClass) {
  const std::vector<NcclGroup> groups = GroupsOf(SmallPlan());
  const auto name = [&](int rank, int peer, bool send, uint64_t tag_class) -> std::string {
    const int group = GroupRoutes(groups, rank, 6).Of(peer, send, tag_class << 62 | 17);
    return group < 0 ? "all" : groups[group].name;
  };
  EXPECT_EQ(name(0, 1, true, 0), "edge 0 to 1");
  EXPECT_EQ(name(1, 0, false, 0), "edge 0 to 1");
  EXPECT_EQ(name(0, 1, false, 0), "edge 1 to 0");
  EXPECT_EQ(name(1, 0, true, 0), "edge 1 to 0");
  EXPECT_EQ(name(2, 1, true, 0), "all");
  EXPECT_EQ(name(0, 2, true, 1), "ties 0 2");
  EXPECT_EQ(name(0, 2, false, 2), "ties 0 2");
  EXPECT_EQ(name(0, 2, false, 0), "edge 2 to 0");
  EXPECT_EQ(name(4, 1, true, 3), "replicas 1 4");
  EXPECT_EQ(name(4, 1, true, 0), "all");
}

// Whatever is sent, both ends choose the same communicator.
TEST(NcclGroups, BothEndsAgree) {
  for (const std::vector<NcclGroup>& groups : {GroupsOf(SmallPlan()), AllPairs(6)}) {
    for (int from = 0; from < 6; ++from) {
      for (int to = 0; to < 6; ++to) {
        for (uint64_t tag_class = 0; tag_class < 4 && from != to; ++tag_class) {
          EXPECT_EQ(GroupRoutes(groups, from, 6).Of(to, true, tag_class << 62),
                    GroupRoutes(groups, to, 6).Of(from, false, tag_class << 62));
        }
      }
    }
  }
}

TEST(NcclGroups, BadOnesAreRefused) {
  const auto code = [](NcclGroup group) { return CheckGroups({{"first", {0, 1}}, std::move(group)}, 3).code(); };
  EXPECT_EQ(code({"fine", {0, 2}}), absl::StatusCode::kOk);
  EXPECT_EQ(code({"fine", {1, 0}, true}), absl::StatusCode::kOk);
  EXPECT_EQ(code({"one", {0}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"twice", {1, 1}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"itself", {1, 1}, true}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"falling", {2, 0}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"unknown", {0, 3}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"three", {0, 1, 2}, true}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"again", {0, 1}}), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace millrace
