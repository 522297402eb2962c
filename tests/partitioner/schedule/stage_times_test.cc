// Times of a request, spread over the stages of its schedule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "partitioner/schedule/make_schedule.h"
#include "runtime/plan/schedule.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;

TEST(StageTimesTest, ARanksTimeDividesAmongItsChunks) {
  ScheduleRequest request{.kind = "interleaved", .ranks = 2, .chunks = 2, .micro_batches = 2};
  request.forward = {2, 4};
  request.communication = {0.25, 0.5};
  const ScheduleCosts costs = CostsOfRequest(request).value();
  EXPECT_THAT(costs.forward, ElementsAre(1, 2, 1, 2));
  EXPECT_THAT(costs.backward_input, ElementsAre(0.5, 0.5, 0.5, 0.5));
  EXPECT_THAT(costs.communication, ElementsAre(0.25, 0.5, 0.25, 0.5));  // round the ring
}

TEST(StageTimesTest, AVUsesItsLinksBothWays) {
  ScheduleRequest request{.kind = "zb-v", .ranks = 3, .micro_batches = 3};
  request.communication = {1, 2, 4};
  EXPECT_THAT(CostsOfRequest(request)->communication, ElementsAre(1, 2, 4, 2, 1, 1));
}

TEST(StageTimesTest, OneValueForEachStageIsTakenAsItIs) {
  for (const char* kind : {"interleaved", "zb-v"}) {
    ScheduleRequest request{.kind = kind, .ranks = 2, .chunks = 2, .micro_batches = 4};
    request.forward = {1, 2, 3, 4};
    request.backward_weight = {4, 3, 2, 1};
    request.communication = {0.5, 0.25, 0.125, 0};
    const ScheduleCosts costs = CostsOfRequest(request).value();
    EXPECT_EQ(costs.forward, request.forward);
    EXPECT_EQ(costs.backward_weight, request.backward_weight);
    EXPECT_EQ(costs.communication, request.communication);
    const auto schedule = MakeSchedule(request);
    ASSERT_TRUE(schedule.ok()) << schedule.status();
    EXPECT_TRUE(VerifySchedule(*schedule).ok());
  }
}

TEST(StageTimesTest, ListsOfAnotherLengthAreRefused) {
  ScheduleRequest request{.kind = "interleaved", .ranks = 2, .chunks = 2, .micro_batches = 4};
  request.forward = {1, 2, 3};
  EXPECT_THAT(std::string(CostsOfRequest(request).status().message()),
              testing::HasSubstr("3 values of forward for 2 ranks; give one, or one for each, or one for each of the 4 "
                                 "stages"));
}

// Chunks of one rank that differ: an order made for their own times is no slower than one made for their average.
TEST(StageTimesTest, UnevenChunksAreScheduledWithTheirOwnTimes) {
  int better = 0;
  for (const char* kind : {"zb-v", "v-half", "v-min"}) {
    ScheduleRequest request{.kind = kind, .ranks = 4, .micro_batches = 12};
    request.forward = {1, 1, 1, 1, 1, 1, 1, 3};  // the last stage has the loss
    request.backward_input = {1, 1, 1, 1, 1, 1, 1, 0.5};
    request.backward_weight = {1, 1, 1, 1, 1, 1, 1, 0.5};
    const ScheduleCosts costs = CostsOfRequest(request).value();
    const auto own = SimulateSchedule(MakeSchedule(request).value(), costs);
    request.forward = request.backward_input = request.backward_weight = {};
    const auto average = SimulateSchedule(MakeSchedule(request).value(), costs);
    EXPECT_LE(own->longest_span, average->longest_span + 1e-9) << kind;
    better += own->longest_span < average->longest_span - 1e-9;
  }
  EXPECT_GT(better, 0);
}

}  // namespace
}  // namespace millrace
