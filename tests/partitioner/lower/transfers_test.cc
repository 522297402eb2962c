// What crosses between ranks, how often, and in which order.
#include <algorithm>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "proto/status_macros.h"
#include "runtime/plan/verify.h"
#include "tests/partitioner/lower/partitioning.h"

namespace millrace {
namespace {

using proto::Instruction;

absl::StatusOr<proto::ExecutionPlan> Plan(const proto::Model& model, const PartitionOptions& options) {
  MR_ASSIGN_OR_RETURN(proto::ExecutionPlan plan, Partition(model, options, MadeUpNeeds));
  MR_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

PartitionOptions ThreeReadersInFourStages() {
  PartitionOptions options = OptionsFor(4, 2);
  options.cut = "by-hand";
  options.cut_after = {"first", "layer0", "layer1"};
  return options;
}

TEST(TransfersTest, ValueGoesOnceToEachStageThatReadsItAndGradientsComeStraightBack) {
  const auto plan = Plan(ThreeReaders(), ThreeReadersInFourStages());
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::set<std::pair<uint32_t, uint32_t>> x, back;
  for (const proto::Edge& edge : plan->programs(0).edges()) {
    EXPECT_EQ(edge.backward(), edge.from_stage() > edge.to_stage()) << edge.name();
    if (edge.backward() && edge.to_stage() == 0) back.emplace(edge.from_stage(), edge.to_stage());
    if (edge.backward() || edge.from_stage() != 0) continue;
    EXPECT_TRUE(x.emplace(edge.from_stage(), edge.to_stage()).second) << edge.name() << " crosses twice";
  }
  EXPECT_EQ(x, (std::set<std::pair<uint32_t, uint32_t>>{{0, 1}, {0, 2}, {0, 3}}));
  EXPECT_FALSE(back.empty());
}

TEST(TransfersTest, EveryEdgeIsSentOncePerMicroBatch) {
  const auto plan = Plan(ThreeReaders(), ThreeReadersInFourStages());
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const proto::Program& program : plan->programs()) {
    std::map<std::pair<uint32_t, uint32_t>, int> sends, receives;
    for (const proto::RankProgram& rank : program.ranks()) {
      for (const Instruction& i : rank.instructions()) {
        if (i.kind() == Instruction::SEND) ++sends[{i.edge(), i.micro_batch()}];
        if (i.kind() == Instruction::RECV) ++receives[{i.edge(), i.micro_batch()}];
      }
    }
    EXPECT_EQ(sends, receives);
    EXPECT_EQ(sends.size(), program.edges_size() * program.micro_batches());
    for (const auto& [what, count] : sends) EXPECT_EQ(count, 1);
  }
}

TEST(TransfersTest, StagesOfOneRankShareBytes) {
  PartitionOptions options = ThreeReadersInFourStages();
  options.cluster.mutable_devices()->DeleteSubrange(1, 3);
  options.pp = 1;
  options.custom_schedule = SplitBackward({0, 0, 0, 0}, 1, 2);
  auto plan = Plan(ThreeReaders(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const Instruction& i : plan->programs(0).ranks(0).instructions()) {
    EXPECT_NE(i.kind(), Instruction::SEND);
    EXPECT_NE(i.kind(), Instruction::RECV);
  }
  EXPECT_GT(plan->programs(0).edges_size(), 0);
  for (const proto::Edge& edge : plan->programs(0).edges()) {
    const proto::Value& from = plan->programs(0).stages(edge.from_stage()).values(edge.from_value());
    const proto::Value& to = plan->programs(0).stages(edge.to_stage()).values(edge.to_value());
    EXPECT_EQ(std::tuple(from.pool(), from.offset(), from.bytes()), std::tuple(to.pool(), to.offset(), to.bytes()));
  }
  // Two stages of another rank get one copy: x goes from stage 0 to rank 1 once, and to rank 2.
  options = ThreeReadersInFourStages();
  options.cluster.mutable_devices()->RemoveLast();
  options.pp = 3;
  options.custom_schedule = SplitBackward({0, 1, 2, 1}, 3, 2);
  plan = Plan(ThreeReaders(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  int from_first = 0;
  for (const proto::Edge& edge : plan->programs(0).edges()) {
    from_first += edge.from_stage() == 0 && edge.name().find("first") == 0;
  }
  EXPECT_EQ(from_first, 2);
}

TEST(TransfersTest, EachPeerAndDirectionHasAChannel) {
  const auto plan = Plan(ThreeReaders(), ThreeReadersInFourStages());
  ASSERT_TRUE(plan.ok()) << plan.status();
  const proto::Program& program = plan->programs(0);
  for (const proto::RankProgram& rank : program.ranks()) {
    std::map<uint32_t, std::pair<uint32_t, bool>> peer_of;
    std::set<std::pair<uint32_t, bool>> peers;
    for (const Instruction& i : rank.instructions()) {
      const bool send = i.kind() == Instruction::SEND;
      if (!send && i.kind() != Instruction::RECV) {
        EXPECT_EQ(i.channel(), 0u);
        continue;
      }
      const proto::Edge& edge = program.edges(i.edge());
      const std::pair<uint32_t, bool> peer = {send ? edge.to_stage() : edge.from_stage(), send};
      EXPECT_EQ(peer_of.emplace(i.channel(), peer).first->second, peer);
      peers.insert(peer);
    }
    EXPECT_EQ(peer_of.size(), peers.size());
  }
}

TEST(TransfersTest, FastFirstStageDoesNotRunAwayWithoutBackward) {
  PartitionOptions options = OptionsFor(2, 16);
  options.cut = "by-hand";
  options.cut_after = {"first"};
  const auto plan = Plan(ThreeReaders(), options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->programs(1).name(), "eval");
  for (const proto::RankProgram& rank : plan->programs(1).ranks()) {
    for (const proto::Pool& pool : rank.pools()) EXPECT_LE(pool.slots(), 3u) << pool.name();
  }
}

TEST(TransfersTest, PredictionsAreSet) {
  const auto plan = Plan(ThreeReaders(), ThreeReadersInFourStages());
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const proto::Program& program : plan->programs()) {
    EXPECT_GT(program.predicted_seconds(), 0);
    EXPECT_GT(program.predicted_bubble(), 0);
    EXPECT_LT(program.predicted_bubble(), 1);
    for (const proto::RankProgram& rank : program.ranks()) {
      for (const Instruction& i : rank.instructions()) EXPECT_GT(i.seconds(), 0);
    }
  }
}

}  // namespace
}  // namespace millrace
