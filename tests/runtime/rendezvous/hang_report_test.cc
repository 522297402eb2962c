#include "runtime/rendezvous/hang_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/rendezvous/position.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Standing Works(int64_t instruction, const char* action, double seconds) {
  Standing standing;
  standing.state = Standing::State::kThere;
  standing.noted = true;
  standing.position.set_instruction(instruction);
  standing.position.set_action(action);
  standing.position.set_micro_batch(-1);
  standing.position.set_peer(-1);
  standing.position.set_peer_instruction(-1);
  standing.since = absl::Seconds(seconds);
  standing.silence = absl::Milliseconds(50);
  return standing;
}

Standing Waits(int64_t instruction, const char* edge, int micro_batch, int peer, int64_t peer_instruction,
               double seconds) {
  Standing standing = Works(instruction, "RECV", seconds);
  standing.position.set_edge(edge);
  standing.position.set_micro_batch(micro_batch);
  standing.position.set_peer(peer);
  standing.position.set_peer_instruction(peer_instruction);
  return standing;
}

TEST(HangReportTest, ALostMessageIsNamedByItsEdge) {
  // Rank 0 has sent relu5 of micro-batch 3 (its instruction 8) and waits for a gradient that rank 1 cannot make.
  const std::vector<Standing> ranks = {Waits(12, "relu5_grad", 0, 1, 20, 4), Waits(9, "relu5", 3, 0, 8, 5)};
  EXPECT_EQ(
      FindHangCause(ranks).text,
      "rank 1 waits for edge relu5 of micro-batch 3 from rank 0, which has passed its half (instruction 8) and "
      "stands at instruction 12, RECV edge relu5_grad of micro-batch 0, so the message was lost between rank 0 and "
      "rank 1");
}

TEST(HangReportTest, AFreshWaitAccusesNobodyOfALostMessage) {
  const std::vector<Standing> ranks = {Works(12, "1F3", 0.1), Waits(9, "relu5", 3, 0, 8, 0.1)};
  EXPECT_THAT(FindHangCause(ranks).text, Not(HasSubstr("lost")));
}

TEST(HangReportTest, AChainOfWaitsEndsAtItsCause) {
  const std::vector<Standing> ranks = {Waits(3, "g", 0, 1, 30, 8), Waits(4, "h", 1, 2, 40, 9), Works(7, "2F1", 10)};
  EXPECT_EQ(
      FindHangCause(ranks).text,
      "rank 1 waits for edge h of micro-batch 1 from rank 2, which stands at instruction 7, 2F1 for 10.0 s and waits "
      "for nobody, so rank 2 keeps the others waiting");
  EXPECT_EQ(FindHangCause(ranks).rank, 2);
}

TEST(HangReportTest, SilentAbsentAndDepartedRanksAreNamed) {
  std::vector<Standing> ranks = {Waits(3, "g", 0, 1, -1, 8), Works(4, "1F0", 8)};
  ranks[1].silence = absl::Seconds(6);
  EXPECT_THAT(FindHangCause(ranks).text,
              HasSubstr("rank 1, which has not been heard for 6.0 s, last seen at instruction 4, 1F0"));
  ranks[1] = Standing();
  EXPECT_THAT(FindHangCause(ranks).text, HasSubstr("rank 1, which has not joined"));
  ranks[1].state = Standing::State::kLeft;
  EXPECT_THAT(FindHangCause(ranks).text, HasSubstr("rank 1, which has left the job"));
}

TEST(HangReportTest, ACircleIsCalledOne) {
  const std::vector<Standing> ranks = {Waits(3, "g", 0, 1, -1, 8), Waits(4, "h", 1, 0, -1, 9)};
  EXPECT_EQ(
      FindHangCause(ranks).text,
      "rank 1 waits for edge h of micro-batch 1 from rank 0, which waits for edge g of micro-batch 0 from rank 1, "
      "and so on in a circle, so a message between them was lost or never sent");
}

Standing Collective(int64_t instruction, const char* action, int peer, int64_t peer_instruction, double seconds) {
  Standing standing = Works(instruction, action, seconds);
  standing.position.set_peer(peer);
  standing.position.set_peer_instruction(peer_instruction);
  return standing;
}

TEST(HangReportTest, BothHalvesOfALostMessageMayStandStill) {
  // The sender waits until its bytes are gone, the receiver until they come.
  std::vector<Standing> ranks = {Waits(8, "relu5", 3, 1, 9, 5), Waits(9, "relu5", 3, 0, 8, 5)};
  ranks[0].position.set_action("SEND");
  EXPECT_EQ(FindHangCause(ranks).text,
            "rank 0 waits for edge relu5 of micro-batch 3 from rank 1, which stands at the other half, instruction 9, "
            "RECV edge relu5 of micro-batch 3 for 5.0 s, so the message between rank 0 and rank 1 was lost");
}

TEST(HangReportTest, AGradientThatWasLostBetweenReplicas) {
  const std::vector<Standing> ranks = {Collective(31, "NORM", kEveryone, -1, 4),
                                       Collective(30, "REDUCE bucket 2", 0, 30, 5)};
  EXPECT_EQ(FindHangCause(ranks).text,
            "rank 1 waits at instruction 30, REDUCE bucket 2 for rank 0, which has passed its half (instruction 30) "
            "and stands at instruction 31, NORM, so the message was lost between rank 0 and rank 1");
  EXPECT_THAT(HangReport(ranks), HasSubstr("\n  rank 0 stands at instruction 31, NORM for 4.0 s, waiting for all ranks"));
}

TEST(HangReportTest, WhoIsMissingAtAMeetingIsNamed) {
  const std::vector<Standing> ranks = {Collective(31, "NORM", kEveryone, -1, 4),
                                       Collective(33, "NORM", kEveryone, -1, 5), Works(7, "RUN 1F", 6)};
  EXPECT_EQ(FindHangCause(ranks).text,
            "rank 1 waits at instruction 33, NORM for rank 2, which stands at instruction 7, RUN 1F for 6.0 s and waits "
            "for nobody, so rank 2 keeps the others waiting");
  EXPECT_EQ(FindHangCause(ranks).rank, 2);
}

TEST(HangReportTest, AMeetingToWhichAllHaveCome) {
  const std::vector<Standing> ranks = {Collective(31, "NORM", kEveryone, -1, 4),
                                       Collective(33, "NORM", kEveryone, -1, 5)};
  EXPECT_THAT(FindHangCause(ranks).text, AllOf(HasSubstr("all ranks have come to instruction 31, NORM"),
                                               HasSubstr("a message between them was lost")));
}

TEST(HangReportTest, TheReportHasALineForEachRank) {
  const std::string report = HangReport({Waits(12, "g", 0, 1, 20, 4), Waits(9, "h", 3, 0, 8, 5)});
  EXPECT_THAT(report, AllOf(HasSubstr("\n  rank 0 stands at instruction 12, RECV edge g of micro-batch 0 for 4.0 s, "
                                      "waiting for rank 1 at its instruction 20"),
                            HasSubstr("\n  rank 1 stands at instruction 9, RECV edge h of micro-batch 3 for 5.0 s, "
                                      "waiting for rank 0 at its instruction 8")));
}

TEST(HangReportTest, ALargeJobGivesAShortReport) {
  std::vector<Standing> ranks(3072, Works(5, "F", 1));
  ranks[3000] = Waits(5, "h", 0, 2999, -1, 30);
  const std::string report = HangReport(ranks);
  EXPECT_THAT(report, AllOf(HasSubstr("  rank 3000 stands"), HasSubstr("and 3008 more ranks")));
}

TEST(HangReportTest, NonsenseFromARankDoesNoHarm) {
  std::vector<Standing> ranks = {Waits(3, "g", 0, 99, -1, 8), Waits(3, "\x1b[31m", 0, 1, -1, 8)};
  EXPECT_THAT(HangReport(ranks), Not(HasSubstr("\x1b")));
  EXPECT_THAT(FindHangCause({}).text, HasSubstr("all ranks have left"));
}

}  // namespace
}  // namespace millrace
