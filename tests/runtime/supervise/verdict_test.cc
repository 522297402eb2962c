#include "runtime/supervise/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace millrace {
namespace {

using ::testing::HasSubstr;

RankEnd Exits(int code, int ms = 0) {
  RankEnd end;
  end.end = {false, code};
  end.at += std::chrono::milliseconds(ms);
  return end;
}
RankEnd Killed(int signal, int ms = 0) {
  RankEnd end = Exits(0, ms);
  end.end = {true, signal};
  return end;
}
RankEnd Removed() {
  RankEnd end = Killed(SIGKILL);
  end.removed = true;
  return end;
}
JobFailure Reported(int rank, absl::StatusCode code) {
  return {JobFailure::Kind::kReported, rank, code, "rank says so"};
}

TEST(VerdictTest, AllWell) {
  const Verdict verdict = Judge({Exits(0), Exits(0)}, std::nullopt, 0);
  EXPECT_EQ(verdict.exit_code, 0);
  EXPECT_EQ(verdict.message, "");
}

TEST(VerdictTest, TheKilledOneBeforeThoseWhoLostTheirPeer) {
  const Verdict verdict = Judge({Exits(75, 1), Killed(SIGKILL, 5), Exits(69, 2)}, std::nullopt, 0);
  EXPECT_EQ(verdict.culprit, 1);
  EXPECT_EQ(verdict.exit_code, 137);
  EXPECT_EQ(verdict.message, "rank 1 was killed by SIGKILL");
  EXPECT_TRUE(verdict.may_restart);
}

TEST(VerdictTest, TheFirstOfEquals) {
  EXPECT_EQ(Judge({Exits(3, 9), Exits(4, 2), Removed()}, std::nullopt, 0).culprit, 1);
  EXPECT_EQ(Judge({Exits(3, 9), Exits(4, 2), Removed()}, std::nullopt, 0).exit_code, 4);
}

TEST(VerdictTest, WhatTheCoordinatorFoundCounts) {
  const Verdict verdict = Judge({Exits(75, 1), Exits(70, 3)}, Reported(1, absl::StatusCode::kInternal), 0);
  EXPECT_EQ(verdict.culprit, 1);
  EXPECT_EQ(verdict.exit_code, 70);
  EXPECT_EQ(verdict.message, "rank says so; its process exited with code 70");
}

TEST(VerdictTest, AWitnessIsNotBelievedAgainstAKilledProcess) {
  EXPECT_EQ(Judge({Exits(75), Killed(SIGSEGV)}, Reported(0, absl::StatusCode::kUnavailable), 0).culprit, 1);
  EXPECT_EQ(Judge({Exits(75), Exits(75)}, Reported(0, absl::StatusCode::kUnavailable), 0).culprit, 0);
}

TEST(VerdictTest, AHungRankWasRemoved) {
  const JobFailure hung{JobFailure::Kind::kHung, 1, absl::StatusCode::kUnavailable, "rank 1 hung"};
  const Verdict verdict = Judge({Exits(75), Removed()}, hung, 0);
  EXPECT_EQ(verdict.exit_code, 75);
  EXPECT_EQ(verdict.message, "rank 1 hung");
  EXPECT_TRUE(verdict.may_restart);
}

TEST(VerdictTest, SomeEndsAreFinal) {
  for (const int code : {2, 65, 66, 78, 93}) EXPECT_FALSE(Judge({Exits(code)}, std::nullopt, 0).may_restart) << code;
  for (const int code : {1, 70, 74, 75}) EXPECT_TRUE(Judge({Exits(code)}, std::nullopt, 0).may_restart) << code;
}

TEST(VerdictTest, StoppedBySignal) {
  EXPECT_EQ(Judge({Exits(130), Exits(130)}, std::nullopt, SIGINT).exit_code, 130);
  EXPECT_EQ(Judge({Exits(75), Killed(SIGTERM)}, std::nullopt, SIGTERM).exit_code, 75);
  EXPECT_EQ(Judge({Exits(0), Exits(0)}, std::nullopt, SIGINT).exit_code, 0) << "they had finished";
  const Verdict broken = Judge({Exits(130), Exits(74)}, std::nullopt, SIGINT);
  EXPECT_EQ(broken.exit_code, 74) << "the checkpoint could not be written";
  EXPECT_THAT(broken.message, HasSubstr("rank 1"));
}

}  // namespace
}  // namespace millrace
