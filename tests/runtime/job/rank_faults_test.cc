#include "runtime/job/rank_faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "runtime/job/whereabouts.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(RankFaults, EachRankTakesItsOwn) {
  const std::string text =
      "kill:rank=1:at=RUN_BW:step=3:nth=2, drop:send:rank=1:peer=0:nth=4,stop:at=REDUCE:rank=0:when=waiting";
  const auto one = ParseRankFaults(text, 1);
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->points.size(), 1);
  EXPECT_EQ(one->points[0].kind, PointFault::Kind::kKill);
  EXPECT_EQ(one->points[0].point, "RUN_BW");
  EXPECT_EQ(one->points[0].step, 3);
  EXPECT_EQ(one->points[0].nth, 2);
  ASSERT_EQ(one->transfers.size(), 1);
  EXPECT_EQ(one->transfers[0].peer, 0);
  const auto zero = ParseRankFaults(text, 0);
  ASSERT_EQ(zero->points.size(), 1);
  EXPECT_EQ(zero->points[0].when, PointFault::When::kWaiting);
  EXPECT_TRUE(zero->transfers.empty());
  EXPECT_TRUE(ParseRankFaults(text, 2)->empty());
  EXPECT_TRUE(ParseRankFaults("", 0)->empty());
}

TEST(RankFaults, WhatIsNotUnderstoodIsNamedForEveryRank) {
  for (const auto& [text, word] : std::vector<std::pair<std::string, std::string>>{
           {"kill:at=LOAD", "no rank=N"},       {"kill:rank=x:at=LOAD", "rank=x"}, {"kill:rank=1", "no at=POINT"},
           {"kill:rank=1:at=LUNCH", "at=LUNCH"}, {"kill:rank=1:at=RUN_Q", "at=RUN_Q"},
           {"kill:rank=1:at=LOAD:nth=0", "nth=0"}, {"kill:rank=1:at=LOAD:when=never", "when=never"},
           {"burn:rank=1:at=LOAD", "burn"},     {"drop:rank=1:sideways", "drop"},  {"rank=1", "''"}}) {
    for (int rank : {0, 1}) {
      const absl::Status refused = ParseRankFaults(text, rank).status();
      EXPECT_TRUE(absl::IsInvalidArgument(refused)) << text;
      EXPECT_THAT(std::string(refused.message()), HasSubstr(word)) << text;
    }
  }
}

// A list of LOAD, RUN 0F, REDUCE of bucket 0, NORM, REDUCE of bucket 0 again.
proto::ExecutionPlan TinyPlan() {
  proto::ExecutionPlan plan;
  plan.set_dp(2);
  proto::Program* train = plan.add_programs();
  train->set_name("train");
  proto::RankProgram* list = train->add_ranks();
  using proto::Instruction;
  for (auto kind : {Instruction::LOAD, Instruction::RUN, Instruction::REDUCE, Instruction::NORM, Instruction::REDUCE}) {
    Instruction* instruction = list->add_instructions();
    instruction->set_kind(kind);
    if (kind == Instruction::RUN) instruction->set_phase(proto::F);
  }
  return plan;
}

TEST(Whereabouts, CollectivesSayForWhomTheyWait) {
  const proto::ExecutionPlan plan = TinyPlan();
  Whereabouts whereabouts(plan, 0, {});
  EXPECT_TRUE(whereabouts.idle());
  EXPECT_FALSE(whereabouts.stand());
  std::vector<Standpoint> told;
  whereabouts.TellTo([&](const Standpoint& stand) { told.push_back(stand); });
  const StandFn stand = whereabouts.stand();
  whereabouts.Begin("train", 1);
  stand({.instruction = 1, .action = "RUN", .micro_batch = 0});
  EXPECT_EQ(told.back().action, "RUN 0F");
  stand({.instruction = 4, .action = "REDUCE"});
  EXPECT_EQ(told.back().action, "REDUCE bucket 0");
  EXPECT_EQ(told.back().peer, -1);
  whereabouts.WaitFor(1);
  EXPECT_EQ(told.back().peer, 1);
  EXPECT_EQ(told.back().peer_instruction, 4);  // the second of its kind, as here
  whereabouts.Resume();
  EXPECT_EQ(told.back().peer, -1);
  stand({.instruction = 3, .action = "NORM"});
  whereabouts.WaitFor(kEveryRank);
  EXPECT_EQ(told.back().peer, kEveryRank);
  EXPECT_EQ(told.back().peer_instruction, -1);
}

// Runs `work` in a process of its own and gives the signal that ended it, 0 for none.
int SignalOf(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(Whereabouts, FaultsStrikeAtTheirPointOnly) {
  const proto::ExecutionPlan plan = TinyPlan();
  const auto dies = [&](const std::string& fault, int instructions, bool waits = false, uint64_t step = 3) {
    return SignalOf([&] {
      Whereabouts whereabouts(plan, 0, ParseRankFaults(fault, 0)->points);
      const StandFn stand = whereabouts.stand();
      whereabouts.Begin("train", step);
      for (int i = 0; i < instructions; ++i) stand({.instruction = i});
      if (waits) whereabouts.WaitFor(1);
    });
  };
  EXPECT_EQ(dies("kill:rank=0:at=RUN_F", 1), 0);
  EXPECT_EQ(dies("kill:rank=0:at=RUN_F", 2), SIGKILL);
  EXPECT_EQ(dies("kill:rank=0:at=RUN", 2), SIGKILL);
  EXPECT_EQ(dies("kill:rank=0:at=RUN_B", 5), 0);
  EXPECT_EQ(dies("kill:rank=0:at=RUN_F:step=2", 5), 0);
  EXPECT_EQ(dies("kill:rank=0:at=RUN_F:when=after", 2), 0);
  EXPECT_EQ(dies("kill:rank=0:at=RUN_F:when=after", 3), SIGKILL);
  EXPECT_EQ(dies("kill:rank=0:at=REDUCE:when=waiting", 3), 0);
  EXPECT_EQ(dies("kill:rank=0:at=REDUCE:when=waiting", 3, /*waits=*/true), SIGKILL);
  EXPECT_EQ(dies("kill:rank=0:at=REDUCE:nth=2", 4), 0);
  EXPECT_EQ(dies("kill:rank=0:at=REDUCE:nth=2", 5), SIGKILL);
}

}  // namespace
}  // namespace millrace
