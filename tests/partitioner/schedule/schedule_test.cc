#include <algorithm>
#include <set>

#include "gtest/gtest.h"
#include "partitioner/schedule/check_schedule.h"
#include "partitioner/schedule/forward_only.h"
#include "partitioner/schedule/gpipe.h"
#include "partitioner/schedule/one_f_one_b.h"

namespace millrace {
namespace {

// Most micro-batches of which F has been run and the backward pass has not, on a rank.
int InFlight(const std::vector<Action>& list) {
  int now = 0, most = 0;
  for (const Action& action : list) most = std::max(most, now += action.phase == proto::F ? 1 : -1);
  return most;
}

TEST(ScheduleTest, GPipeIsAllForwardThenAllBackward) {
  EXPECT_EQ(GPipe(2, 3).ToCsv(),
            Schedule::ParseCsv("0F0,0F1,0F2,0BW0,0BW1,0BW2\n1F0,1F1,1F2,1BW0,1BW1,1BW2\n")->ToCsv());
  for (const std::vector<Action>& rank : GPipe(3, 5).ranks) EXPECT_EQ(InFlight(rank), 5);
}

TEST(ScheduleTest, OneFOneBAsInThePaper) {
  EXPECT_EQ(OneFOneB(3, 4).ToCsv(), Schedule::ParseCsv("0F0,0F1,0F2,0BW0,0F3,0BW1,0BW2,0BW3\n"
                                                       "1F0,1F1,1BW0,1F2,1BW1,1F3,1BW2,1BW3\n"
                                                       "2F0,2BW0,2F1,2BW1,2F2,2BW2,2F3,2BW3\n")
                                        ->ToCsv());
}

TEST(ScheduleTest, OneFOneBHoldsAtMostTheStagesThatFollow) {
  for (int stages : {1, 2, 5, 8}) {
    for (int micro_batches : {1, 2, 7, 20}) {
      const Schedule schedule = OneFOneB(stages, micro_batches);
      for (int s = 0; s < stages; ++s) EXPECT_EQ(InFlight(schedule.ranks[s]), std::min(stages - s, micro_batches));
    }
  }
}

TEST(ScheduleTest, GeneratorsPassTheCheck) {
  for (int stages : {1, 2, 5}) {
    for (int micro_batches : {1, 3, 9}) {
      EXPECT_EQ(CheckTrainSchedule(GPipe(stages, micro_batches)), absl::OkStatus());
      EXPECT_EQ(CheckTrainSchedule(OneFOneB(stages, micro_batches)), absl::OkStatus());
    }
  }
}

TEST(ScheduleTest, ForwardOnlyRunsEveryStageOfARankBeforeTheNextMicroBatch) {
  const Schedule schedule = ForwardOnly({0, 1, 0}, 2, 2);
  EXPECT_EQ(schedule.ranks[0],
            (std::vector<Action>{{0, proto::F, 0}, {2, proto::F, 0}, {0, proto::F, 1}, {2, proto::F, 1}}));
  EXPECT_EQ(schedule.ranks[1], (std::vector<Action>{{1, proto::F, 0}, {1, proto::F, 1}}));
}

void ExpectRefused(Schedule schedule, const std::string& part) {
  const absl::Status status = CheckTrainSchedule(schedule);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << part;
  EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
}

TEST(CheckScheduleTest, RefusesWhatCannotBeLowered) {
  const Schedule good = OneFOneB(2, 2);
  Schedule bad = good;
  bad.ranks[0].pop_back();
  ExpectRefused(bad, "0B1 is missing");
  bad = good;
  bad.ranks[1].erase(bad.ranks[1].begin());
  ExpectRefused(bad, "1F0 is missing");
  bad = good;
  bad.ranks[0].push_back({0, proto::F, 0});
  ExpectRefused(bad, "0F0 stands there twice");
  bad = good;
  bad.ranks[0].push_back({1, proto::F, 0});
  ExpectRefused(bad, "1F0 stands on rank 0");
  bad = good;
  bad.ranks[0].push_back({0, proto::R, 0});
  ExpectRefused(bad, "0R0");
  bad = good;
  bad.ranks[0].push_back({0, proto::F, 2});
  ExpectRefused(bad, "outside");
  bad = good;
  bad.ranks[0].push_back({0, proto::B, -1});
  ExpectRefused(bad, "outside");
  bad = good;
  std::swap(bad.ranks[1][0], bad.ranks[1][1]);
  ExpectRefused(bad, "1BW0 stands before its F");
  bad = good;
  std::swap(bad.ranks[0][2], bad.ranks[0][3]);
  ExpectRefused(bad, "micro-batch order");
  bad = good;
  bad.rank_of_stage[1] = 7;
  ExpectRefused(bad, "stage 1 is on rank 7");
  bad = good;
  bad.rank_of_stage.pop_back();
  ExpectRefused(bad, "1 stages are placed");
  ExpectRefused(Schedule(), "at least 1");
}

TEST(CheckScheduleTest, BackwardMayBeSplit) {
  const auto parse = [](const char* csv) { return Schedule::ParseCsv(csv).value(); };
  EXPECT_EQ(CheckTrainSchedule(parse("0F0,0B0,0W0,0F1,0BW1\n")), absl::OkStatus());
  ExpectRefused(parse("0F0,0B0,0F1,0BW1\n"), "0W0 is missing");
  ExpectRefused(parse("0F0,0W0,0B0\n"), "0W0 stands before its B");
  ExpectRefused(parse("0F0,0B0,0W0,0BW0\n"), "beside B or W");
  ExpectRefused(parse("0F0,0F1,0B0,0BW1,0W0\n"), "micro-batch order");
}

}  // namespace
}  // namespace millrace
