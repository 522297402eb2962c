#include "runtime/plan/draw.h"

#include <cstdio>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/simulate.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(DrawSchedule, OneFOneB) {
  const auto plan = TinyPlan({.stages = 3, .micro_batches = 4, .split = false});
  EXPECT_EQ(DrawSchedule(plan.programs(0)),
            "schedule: 3 ranks, 3 stages, 4 micro-batches; 18 slots, bubble 33.3 %\n"
            "rank 0 | F0  F1  F2  .   .   .   BW0 === F3  BW1 === .   BW2 === .   .   BW3 === |\n"
            "");
}

TEST(DrawSchedule, SaysWhyNot) {
  auto plan = TinyPlan({});
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(1)->set_stage(9);
  EXPECT_THAT(DrawSchedule(plan.programs(0)), HasSubstr("rule index"));
}

TEST(DrawTimeline, ShowsEveryRankAndTheBubble) {
  const auto plan = TinyPlan({.stages = 4, .micro_batches = 8, .split = false, .forward = 1, .backward = 1});
  const auto simulation = Simulate(plan, "train");
  const std::string picture = DrawTimeline(plan, simulation->trace, {.width = 100});
  printf("%s\n%s\n", picture.c_str(), DrawSchedule(plan.programs(0)).c_str());
  const auto split = TinyPlan({.stages = 4, .micro_batches = 12, .send = 0.2});
  printf("%s\n%s\n", DrawTimeline(split, Simulate(split, "train")->trace, {.width = 120}).c_str(),
         DrawSchedule(split.programs(0)).c_str());
}

}  // namespace
}  // namespace millrace
