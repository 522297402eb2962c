#include "runtime/plan/draw.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/plan/simulate.h"
#include "tests/runtime/plan/tiny_plan.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST(DrawSchedule, OneFOneB) {
  const auto plan = TinyPlan({.stages = 3, .micro_batches = 4, .split = false});
  EXPECT_EQ(
      DrawSchedule(plan.programs(0)),
      "schedule: 3 ranks, 3 stages, 4 micro-batches; 18 slots, bubble 33.3 %\n"
      "rank 0 | F0  F1  F2  .   .   .   .   BW0 === F3  BW1 === .   BW2 === .   BW3 === |\n"
      "rank 1 | .   F0  F1  .   .   BW0 === F2  BW1 === F3  BW2 === .   BW3 === .   .   |\n"
      "rank 2 | .   .   F0  BW0 === F1  BW1 === F2  BW2 === F3  BW3 === .   .   .   .   |\n"
      "F0: forward of micro-batch 0; B input gradient, W weight gradient, BW both (two slots), R recompute, . idle\n");
}

TEST(DrawSchedule, SaysWhyNot) {
  auto plan = TinyPlan({});
  plan.mutable_programs(0)->mutable_ranks(0)->mutable_instructions(1)->set_stage(9);
  EXPECT_THAT(DrawSchedule(plan.programs(0)), HasSubstr("rule index"));
}

TEST(DrawTimeline, ShowsEveryRankAndTheBubble) {
  const auto plan = TinyPlan({.stages = 2, .micro_batches = 12, .forward = 1, .backward = 1, .weight = 1});
  const auto simulation = Simulate(plan, "train");
  const std::string picture = DrawTimeline(plan, simulation->trace, {.width = 130});
  EXPECT_EQ(
      picture,
      "prediction of train: 2 ranks, 12 micro-batches, 38 s, bubble 5.3 %\n"
      "rank 0 "
      "|F0-F1-...b0=w0~F2-b1=w1~F3-b2=w2~F4-b3=w3~F5-b4=w4~F6-b5=w5~F7-b6=w6~F8-b7=w7~F9-b8=w8~F10b9=w9~F11b10w10..."
      "b11w11|  95 %\n"
      "rank 1 "
      "|...F0-b0=w0~F1-b1=w1~F2-b2=w2~F3-b3=w3~F4-b4=w4~F5-b5=w5~F6-b6=w6~F7-b7=w7~F8-b8=w8~F9-b9=w9~F10b10w10F11b11"
      "w11...|  95 %\n" +
          std::string(8, ' ') + "0" + std::string(109, ' ') +
          "38 s   busy\n"
          "F0- forward of micro-batch 0   b0= backward of micro-batch 0   w0~ weight gradient of micro-batch 0   "
          "++ end of step   .. idle\n");
}

TEST(DrawTimeline, ColorsAddNothingButEscapes) {
  const auto plan = TinyPlan({.stages = 3, .micro_batches = 5, .send = 0.1});
  const auto simulation = Simulate(plan, "train");
  std::string colored = DrawTimeline(plan, simulation->trace, {.width = 80, .color = true});
  EXPECT_THAT(colored, HasSubstr("\033[30;44m"));
  for (size_t at; (at = colored.find('\033')) != std::string::npos;) colored.erase(at, colored.find('m', at) - at + 1);
  EXPECT_EQ(colored, DrawTimeline(plan, simulation->trace, {.width = 80}));
}

TEST(DrawTimeline, SurvivesAnyWidthAndTrace) {
  const auto plan = TinyPlan({});
  auto trace = Simulate(plan, "train")->trace;
  for (const int width : {-5, 0, 1, 39, 41, 300, 2000000000}) {
    EXPECT_THAT(DrawTimeline(plan, trace, {.width = width}), HasSubstr("rank 2 |"));
  }
  trace.mutable_spans(3)->set_end_seconds(-1);
  EXPECT_THAT(DrawTimeline(plan, trace, {}), HasSubstr("trace: program train"));
  EXPECT_THAT(DrawTimeline(plan, proto::StepTrace(), {}), HasSubstr("no program"));
}

}  // namespace
}  // namespace millrace
