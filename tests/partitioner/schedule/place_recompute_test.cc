// R placed by a pass over a finished schedule: valid, never slower than recomputation inside B, and late.
#include "partitioner/schedule/place_recompute.h"

#include <cstdio>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "partitioner/schedule/check_schedule.h"
#include "partitioner/schedule/make_schedule.h"
#include "partitioner/schedule/span.h"

namespace millrace {
namespace {

struct Made {
  Schedule schedule;
  ScheduleCosts costs;
};

Made Make(const std::string& kind, int ranks, int micro_batches) {
  ScheduleRequest request;
  request.kind = kind;
  request.ranks = ranks;
  request.micro_batches = micro_batches;
  request.chunks = kind == "interleaved" ? 2 : 1;
  return {MakeSchedule(request).value(), CostsOfRequest(request).value()};
}

Schedule WithoutR(Schedule schedule) {
  for (std::vector<Action>& list : schedule.ranks) {
    std::erase_if(list, [](const Action& action) { return action.phase == proto::R; });
  }
  return schedule;
}

TEST(PlaceRecompute, EveryKindStaysValidAndKeepsItsOrder) {
  for (const std::string& kind : ScheduleKinds()) {
    for (const auto& [ranks, micro_batches] : {std::pair(1, 2), {2, 4}, {4, 8}, {4, 12}, {8, 16}}) {
      const Made made = Make(kind, ranks, micro_batches);
      std::vector<bool> all(made.schedule.stages, true);
      const Schedule placed = PlaceRecompute(made.schedule, made.costs, all);
      EXPECT_TRUE(VerifySchedule(placed).ok()) << kind << VerifySchedule(placed);
      EXPECT_TRUE(CheckTrainSchedule(placed).ok()) << kind << CheckTrainSchedule(placed);
      EXPECT_EQ(WithoutR(placed), made.schedule) << kind;
      size_t again = 0;
      for (const auto& list : placed.ranks) {
        for (const Action& action : list) again += action.phase == proto::R;
      }
      EXPECT_EQ(again, static_cast<size_t>(made.schedule.stages) * made.schedule.micro_batches) << kind;
      EXPECT_EQ(PlaceRecompute(placed, made.costs, all), placed) << kind << ": placed twice";
    }
  }
}

TEST(PlaceRecompute, IsNeverLongerThanInsideBAndHidesWhatTheTableSays) {
  std::map<std::string, double> hidden;
  for (const std::string& kind : ScheduleKinds()) {
    const Made made = Make(kind, 4, 8);
    const RecomputeSpans spans =
        SpansOfRecompute(made.schedule, made.costs, std::vector<bool>(made.schedule.stages, true));
    std::printf("%-12s without %6.2f inside %6.2f placed %6.2f hidden %5.1f %%\n", kind.c_str(), spans.without,
                spans.inside, spans.placed, 100 * spans.hidden);
    EXPECT_LE(spans.placed, spans.inside + 1e-9) << kind;
    EXPECT_GE(spans.placed, spans.without - 1e-9) << kind;
    hidden[kind] = spans.hidden;
  }
  // By hand: the last stage of 1F1B has no wait, so of (m + p - 1) R inside B at least m stay; GPipe's is the same.
  EXPECT_NEAR(hidden["1f1b"], 3.0 / 11, 1e-9);
  EXPECT_NEAR(hidden["gpipe"], 3.0 / 11, 1e-9);
}

TEST(PlaceRecompute, StandsRightBeforeBWhereNothingIsGained) {
  // One rank never waits.
  const Made made = Make("1f1b", 1, 3);
  EXPECT_EQ(PlaceRecompute(made.schedule, made.costs, {true}).ToCsv(), "0F0,0R0,0BW0,0F1,0R1,0BW1,0F2,0R2,0BW2\n");
}

TEST(PlaceRecompute, RunsInTheWaitForTheGradient) {
  const Made made = Make("1f1b", 2, 1);
  const Schedule placed = PlaceRecompute(made.schedule, made.costs, {true, false});
  EXPECT_EQ(placed.ToCsv(), "0F0,0R0,0BW0\n1F0,1BW0\n");
  // F, F, BW (2), BW (2): R takes none of it.
  EXPECT_DOUBLE_EQ(LongestSpan(placed, made.costs).value(), 6);
}

TEST(PlaceRecompute, LeavesTheRsOfAScheduleAlone) {
  const Schedule own = Schedule::ParseCsv("0F0,0R0,0F1,0BW0,0R1,0BW1\n1F0,1BW0,1F1,1BW1\n").value();
  const ScheduleCosts costs = ScheduleCosts::Uniform(2, 1, 1, 1, 0);
  EXPECT_EQ(PlaceRecompute(own, costs, {true, false}), own);
  const Schedule both = PlaceRecompute(own, costs, {true, true});
  EXPECT_EQ(both.ranks[0], own.ranks[0]);
  EXPECT_EQ(both.ranks[1].size(), 6u);
}

TEST(PlaceRecompute, TakesRsOwnTime) {
  Made made = Make("1f1b", 4, 8);
  made.costs.recompute.assign(4, 0.5);
  const RecomputeSpans spans = SpansOfRecompute(made.schedule, made.costs, std::vector<bool>(4, true));
  EXPECT_DOUBLE_EQ(spans.inside - spans.without, 11 * 0.5);
}

}  // namespace
}  // namespace millrace
