// Proof of bare action lists: every rule broken once, and what random mutants of good schedules get away with.
#include "runtime/plan/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/runtime/plan/paper_schedules.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Schedule Parse(const char* csv) { return Schedule::ParseCsv(csv).value(); }

std::string Refusal(const Schedule& schedule) {
  const absl::Status status = VerifySchedule(schedule);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << schedule.ToCsv();
  return std::string(status.message());
}

TEST(VerifySchedule, AcceptsThePapers) {
  for (int p : {1, 2, 3, 8}) {
    for (int m : {1, 2, 5, 16}) {
      EXPECT_EQ(VerifySchedule(PaperGPipe(p, m)), absl::OkStatus());
      EXPECT_EQ(VerifySchedule(Paper1F1B(p, m)), absl::OkStatus());
      EXPECT_EQ(VerifySchedule(PaperZbH1(p, m)), absl::OkStatus());
      EXPECT_EQ(VerifySchedule(PaperInterleaved(p, 3, p * m)), absl::OkStatus());
    }
  }
}

TEST(VerifySchedule, AcceptsRecomputeBetweenForwardAndBackward) {
  EXPECT_EQ(VerifySchedule(Parse("0F0,0R0,0B0,0W0\n1F0,1R0,1BW0\n")), absl::OkStatus());
}

TEST(VerifySchedule, Shape) {
  EXPECT_THAT(Refusal(Schedule()), HasSubstr("rule shape"));
  Schedule schedule = PaperGPipe(2, 2);
  schedule.ranks[1][0].stage = -1;
  EXPECT_THAT(Refusal(schedule), AllOf(HasSubstr("rule shape"), HasSubstr("rank 1, action 0")));
  schedule = PaperGPipe(2, 2);
  schedule.ranks[1][0].micro_batch = 2;
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule shape"));
  schedule = PaperGPipe(2, 2);
  schedule.ranks[1][0].phase = static_cast<proto::Phase>(0);
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule shape"));
  schedule = PaperGPipe(2, 2);
  schedule.micro_batches = 2'000'000'000;  // refused before a table of that size is made
  schedule.stages = 2'000'000'000;
  schedule.rank_of_stage.clear();
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule placement"));
  schedule = PaperGPipe(2, 2);
  schedule.micro_batches = 2'000'000'000;
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule completeness"));
}

TEST(VerifySchedule, Placement) {
  Schedule schedule = PaperGPipe(2, 2);
  schedule.rank_of_stage.pop_back();
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule placement"));
  for (int rank : {-1, 2}) {
    schedule = PaperGPipe(2, 2);
    schedule.rank_of_stage[1] = rank;
    EXPECT_THAT(Refusal(schedule), AllOf(HasSubstr("rule placement"), HasSubstr("stage 1")));
  }
  schedule = PaperGPipe(2, 2);
  std::swap(schedule.ranks[0][0], schedule.ranks[1][0]);
  EXPECT_THAT(Refusal(schedule), HasSubstr("rule placement: rank 0, action 0 (1F0): stage 1 is on rank 1"));
}

TEST(VerifySchedule, Completeness) {
  EXPECT_THAT(Refusal(Parse("0F0,0BW0\n1F0,1B0\n")), HasSubstr("rank 1 has no 1W0"));
  EXPECT_THAT(Refusal(Parse("0F0,0BW0,0F1,0BW1\n1F0,1F1,1BW1,1R1\n")), HasSubstr("rule"));
  EXPECT_THAT(Refusal(Parse("0F0,0BW0,0F1\n1F0,1BW0,1F1,1BW1\n")), HasSubstr("0B1"));
  EXPECT_THAT(Refusal(Parse("0F0,0B0\n1F0,1W0\n")), HasSubstr("rule order: rank 1, action 1 (1W0): comes before 1B0"));
  for (const char* twice :
       {"0F0,0F0,0BW0\n", "0F0,0BW0,0BW0\n", "0F0,0B0,0BW0\n", "0F0,0BW0,0W0\n", "0F0,0R0,0R0,0BW0\n"}) {
    EXPECT_THAT(Refusal(Parse(twice)), HasSubstr("a second time")) << twice;
  }
}

TEST(VerifySchedule, Order) {
  EXPECT_THAT(Refusal(Parse("0BW0,0F0\n")), HasSubstr("rule order: rank 0, action 0 (0BW0): comes before 0F0"));
  EXPECT_THAT(Refusal(Parse("0F0,0W0,0B0\n")), HasSubstr("comes before 0B0"));
  EXPECT_THAT(Refusal(Parse("0R0,0F0,0BW0\n")), HasSubstr("comes before 0F0"));
  EXPECT_THAT(Refusal(Parse("0F0,0B0,0R0,0W0\n")), HasSubstr("recomputed after the backward pass"));
}

TEST(VerifySchedule, GradientsAreSummedInMicroBatchOrder) {
  EXPECT_THAT(Refusal(Parse("0F0,0F1,0BW1,0BW0\n")), HasSubstr("rule sum order"));
  EXPECT_THAT(Refusal(Parse("0F0,0F1,0B0,0B1,0W1,0W0\n")), HasSubstr("due for micro-batch 0"));
  EXPECT_EQ(VerifySchedule(Parse("0F1,0F0,0BW0,0BW1\n")), absl::OkStatus());  // forwards sum nothing
}

TEST(VerifySchedule, DeadlockIsToldAndDrawn) {
  const std::string message = Refusal(Parse("0F0,0BW0,0F1,0BW1\n1F0,1F1,1BW0,1BW1\n"));
  EXPECT_THAT(message,
              AllOf(HasSubstr("rule deadlock: rank 0 waits at 0BW0 for 1BW0, which rank 1 lists after 1F1; "
                              "rank 1 waits at 1F1 for 0F1, which rank 0 lists after 0BW0"),
                    HasSubstr("! rank 0 | 0F0 [0BW0] 0F1 0BW1 |\n"), HasSubstr("! rank 1 | 1F0 [1F1] 1BW0 1BW1 |\n")));
}

TEST(VerifySchedule, DeadlockMarksOnlyTheStuck) {
  // Rank 2 holds a stage below the two that wait for each other and is done with its forwards only.
  const std::string message = Refusal(Parse("0F0,0F1,0BW0,0BW1\n1F0,1BW0,1F1,1BW1\n2F0,2F1,2BW0,2BW1\n"));
  EXPECT_THAT(message, AllOf(HasSubstr("rank 1 waits at 1BW0 for 2BW0, which rank 2 lists after 2F1"),
                             HasSubstr("! rank 0 | 0F0 0F1 [0BW0] 0BW1 |")));
  EXPECT_EQ(message.find("rank 0 waits"), std::string::npos);  // stuck behind the circle, not in it
}

TEST(VerifySchedule, ARankCanWaitForItself) {
  EXPECT_THAT(Refusal(Parse("0F0,1F0,0BW0,1BW0\n")),
              HasSubstr("rank 0 waits at 0BW0 for 1BW0, which it lists after 0BW0"));
}

TEST(VerifySchedule, LargeDeadlocksAreShortToRead) {
  Schedule schedule = Paper1F1B(64, 128);
  for (auto& list : schedule.ranks) std::rotate(list.begin() + 1, list.begin() + 1 + (list[1].stage % 2), list.end());
  std::vector<Action>& last = schedule.ranks[63];
  last = PaperGPipe(64, 128).ranks[63];
  const std::string message = Refusal(schedule);
  EXPECT_LT(message.size(), 8000u);
}

// By brute force, from the rules as written: sweeps over the ranks until nothing moves.
bool IsLegal(const Schedule& schedule) {
  std::set<std::pair<std::pair<int, int>, char>> done;
  const auto has = [&](int stage, int k, char what) { return done.count({{stage, k}, what}) == 1; };
  std::vector<size_t> next(schedule.ranks.size(), 0);
  std::map<int, int> b_due, w_due;
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      if (next[rank] == schedule.ranks[rank].size()) continue;
      const Action& a = schedule.ranks[rank][next[rank]];
      const int s = a.stage, k = a.micro_batch;
      if (schedule.rank_of_stage[s] != static_cast<int>(rank)) return false;
      const bool b = a.phase == proto::B || a.phase == proto::BW, w = a.phase == proto::W || a.phase == proto::BW;
      bool ready = true;
      if (a.phase == proto::F) ready = !has(s, k, 'F') && (s == 0 || has(s - 1, k, 'F'));
      if (a.phase == proto::R) ready = has(s, k, 'F') && !has(s, k, 'R') && !has(s, k, 'B');
      if (b) ready = has(s, k, 'F') && !has(s, k, 'B') && (s + 1 == schedule.stages || has(s + 1, k, 'B'));
      if (w) ready = ready && !has(s, k, 'W') && (b || has(s, k, 'B'));
      if (!ready) continue;
      if (b && b_due[s]++ != k) return false;
      if (w && w_due[s]++ != k) return false;
      if (a.phase == proto::F) done.insert({{s, k}, 'F'});
      if (a.phase == proto::R) done.insert({{s, k}, 'R'});
      if (b) done.insert({{s, k}, 'B'});
      if (w) done.insert({{s, k}, 'W'});
      ++next[rank];
      moved = true;
    }
  }
  for (size_t rank = 0; rank < next.size(); ++rank) {
    if (next[rank] != schedule.ranks[rank].size()) return false;
  }
  for (int s = 0; s < schedule.stages; ++s) {
    for (int k = 0; k < schedule.micro_batches; ++k) {
      if (!has(s, k, 'W')) return false;
    }
  }
  return true;
}

TEST(VerifySchedule, RefusesExactlyTheMutantsThatAreNotLegal) {
  std::mt19937 random(7);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  const proto::Phase phases[] = {proto::F, proto::B, proto::W, proto::BW, proto::R};
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    const int p = 1 + below(4), m = 1 + below(5);
    Schedule mutant = round % 4 == 0   ? PaperGPipe(p, m)
                      : round % 4 == 1 ? Paper1F1B(p, m)
                      : round % 4 == 2 ? PaperZbH1(p, m)
                                       : PaperInterleaved(p, 2, p * m);
    ASSERT_TRUE(IsLegal(mutant));
    for (int times = 1 + below(2); times > 0; --times) {
      std::vector<Action>& list = mutant.ranks[below(p)];
      if (list.empty()) continue;
      const size_t at = below(list.size()), other = below(list.size());
      switch (below(6)) {
        case 0:
          list.erase(list.begin() + at);
          break;
        case 1:
          std::swap(list[at], list[other]);
          break;
        case 2:
          if (at + 1 < list.size()) std::swap(list[at], list[at + 1]);
          break;
        case 3:
          list.insert(list.begin() + other, Action(list[at]));
          break;
        case 4:
          list[at].stage = below(mutant.stages);
          list[at].micro_batch = below(mutant.micro_batches);
          break;
        case 5:
          list[at].phase = phases[below(5)];
          break;
      }
    }
    const absl::Status status = VerifySchedule(mutant);
    ASSERT_EQ(status.ok(), IsLegal(mutant)) << status << "\n" << mutant.ToCsv();
    ++(status.ok() ? accepted : refused);
  }
  EXPECT_GT(accepted, 200);  // both answers are met often
  EXPECT_GT(refused, 2000);
}

}  // namespace
}  // namespace millrace
