#include "runtime/trace/ring.h"

#include "gtest/gtest.h"

namespace millrace {
namespace {

uint64_t Put(TraceRing& ring, uint32_t instruction, int64_t start, int64_t end, int64_t wait) {
  const uint64_t handle = ring.Start(instruction, start);
  ring.at(handle).end = end;
  ring.at(handle).wait = wait;
  return handle;
}

TEST(TraceRing, GivesTheSpansOfTheLastProgram) {
  TraceRing ring(8);
  ring.BeginProgram();
  Put(ring, 0, 1'000'000'000, 2'000'000'000, 0);
  ring.BeginProgram();
  Put(ring, 0, 5'000'000'000, 6'000'000'000, 250'000'000);
  Put(ring, 1, 6'000'000'000, 6'500'000'000, 0);
  proto::StepTrace trace;
  ring.AppendSpans(3, 4.0, &trace);
  ASSERT_EQ(trace.spans_size(), 2);
  EXPECT_EQ(trace.spans(0).rank(), 3);
  EXPECT_EQ(trace.spans(0).instruction(), 0);
  EXPECT_DOUBLE_EQ(trace.spans(0).start_seconds(), 1.0);
  EXPECT_DOUBLE_EQ(trace.spans(0).end_seconds(), 2.0);
  EXPECT_DOUBLE_EQ(trace.spans(0).wait_seconds(), 0.25);
  EXPECT_EQ(trace.spans(1).instruction(), 1);
}

TEST(TraceRing, LeavesOutWhatHasNotEnded) {
  TraceRing ring(4);
  ring.BeginProgram();
  const uint64_t handle = ring.Start(7, 10);
  proto::StepTrace trace;
  ring.AppendSpans(0, 0, &trace);
  EXPECT_EQ(trace.spans_size(), 0);
  ring.at(handle).end = 20;
  ring.AppendSpans(0, 0, &trace);
  EXPECT_EQ(trace.spans_size(), 1);
}

TEST(TraceRing, ForgetsTheOldestFirst) {
  TraceRing ring(5);  // holds 8
  ring.BeginProgram();
  for (uint32_t i = 0; i < 20; ++i) Put(ring, i, i + 1, i + 2, 0);
  proto::StepTrace trace;
  ring.AppendSpans(0, 0, &trace);
  ASSERT_EQ(trace.spans_size(), 8);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(trace.spans(i).instruction(), 12 + i);
}

TEST(TraceRing, TheClockGoesForward) {
  const int64_t before = TraceRing::Now();
  EXPECT_GE(TraceRing::Now(), before);
  EXPECT_GT(before, 0);
}

}  // namespace
}  // namespace millrace
