// The coordinator's decisions, with a clock that the test moves.
#include "runtime/rendezvous/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RosterTest : public ::testing::Test {
 protected:
  void Open(int size, int host_rank = -1) {
    RosterOptions options;
    options.host_rank = host_rank;
    options.beat = absl::Milliseconds(100);
    options.silence = absl::Seconds(10);
    options.settle = absl::Milliseconds(400);
    const JobIdentity identity{"job", "hash", "1.0", size, 0};
    roster_ = std::make_unique<Roster>(
        identity, options, [this](const JobFailure&) { ++told_; }, now_);
    for (int rank = 0; rank < size; ++rank) inbox_[rank].clear();
  }
  proto::Claim ClaimOf(int rank, int size) {
    proto::Claim claim;
    claim.set_job("job");
    claim.set_plan_hash("hash");
    claim.set_version("1.0");
    claim.set_rank(rank);
    claim.set_size(size);
    return claim;
  }
  absl::Status Enter(const proto::Claim& claim) {
    const int rank = static_cast<int>(claim.rank());
    return roster_->Enter(
        claim, "there", std::make_shared<proto::ToRank>(),
        [this, rank](Roster::Message message) { inbox_[rank].push_back(std::move(message)); }, now_);
  }
  void OpenWithAll(int size) {
    Open(size);
    for (int rank = 0; rank < size; ++rank) ASSERT_TRUE(Enter(ClaimOf(rank, size)).ok());
  }
  void Beat(int rank) {
    proto::FromRank word;
    word.mutable_beat();
    ASSERT_TRUE(roster_->Hear(rank, word, now_).ok());
  }
  void Report(int rank, absl::StatusCode code, const std::string& message) {
    proto::FromRank word;
    *word.mutable_failure() = ToProto({JobFailure::Kind::kReported, 99, code, message});
    ASSERT_TRUE(roster_->Hear(rank, word, now_).ok());
  }
  void Leave(int rank) {
    proto::FromRank word;
    word.mutable_leave();
    ASSERT_TRUE(roster_->Hear(rank, word, now_).ok());
    roster_->Lose(rank, "closed", now_);
  }
  // In steps of half a beat; `beating` ranks beat.
  void Pass(milliseconds time, const std::vector<int>& beating) {
    for (milliseconds done(0); done < time; done += milliseconds(50)) {
      now_ += milliseconds(50);
      for (const int rank : beating) Beat(rank);
      roster_->Tick(now_);
    }
  }
  std::string Verdict() { return roster_->failure().has_value() ? roster_->failure()->message : "none"; }
  int Failures(int rank) {
    int count = 0;
    for (const auto& message : inbox_[rank]) count += message->has_failure();
    return count;
  }

  Roster::Instant now_ = Roster::Instant() + std::chrono::hours(1);
  std::map<int, std::vector<Roster::Message>> inbox_;
  int told_ = 0;
  std::unique_ptr<Roster> roster_;
};

TEST_F(RosterTest, EveryRefusalSaysBothSides) {
  Open(2);
  proto::Claim claim = ClaimOf(1, 2);
  claim.set_job("other");
  EXPECT_THAT(std::string(Enter(claim).message()),
              AllOf(HasSubstr("rank 1"), HasSubstr("'other'"), HasSubstr("'job'")));
  claim = ClaimOf(1, 2);
  claim.set_plan_hash("another");
  EXPECT_THAT(std::string(Enter(claim).message()), AllOf(HasSubstr("'another'"), HasSubstr("'hash'")));
  claim = ClaimOf(1, 2);
  claim.set_version("2.0");
  EXPECT_THAT(std::string(Enter(claim).message()), AllOf(HasSubstr("'2.0'"), HasSubstr("'1.0'")));
  EXPECT_THAT(std::string(Enter(ClaimOf(1, 3)).message()), AllOf(HasSubstr("one of 3"), HasSubstr("has 2")));
  EXPECT_THAT(std::string(Enter(ClaimOf(2, 2)).message()), HasSubstr("ranks 0 to 1"));
  claim = ClaimOf(1, 2);
  claim.set_incarnation(7);
  EXPECT_THAT(std::string(Enter(claim).message()), HasSubstr("start 7"));
  claim = ClaimOf(1, 2);
  claim.set_job(std::string("\x1b[31m\n", 6) + std::string(5000, 'x'));
  const std::string hostile(Enter(claim).message());
  EXPECT_THAT(hostile, Not(HasSubstr("\x1b")));
  EXPECT_LT(hostile.size(), 600);
  EXPECT_TRUE(CheckProtocol(kControlProtocol).ok());
  EXPECT_THAT(std::string(CheckProtocol(99).message()), HasSubstr("protocol 99"));

  EXPECT_TRUE(Enter(ClaimOf(1, 2)).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Enter(ClaimOf(1, 2))));
  EXPECT_TRUE(Enter(ClaimOf(0, 2)).ok()) << "refusals leave the seats as they are";
  EXPECT_TRUE(roster_->complete());
}

TEST_F(RosterTest, TheFirstRankDecidesWhatIsNotGiven) {
  roster_ = std::make_unique<Roster>(JobIdentity{"job", "", "", 2, 0}, RosterOptions(), nullptr, now_);
  EXPECT_TRUE(Enter(ClaimOf(0, 2)).ok());
  proto::Claim claim = ClaimOf(1, 2);
  claim.set_plan_hash("another");
  EXPECT_TRUE(absl::IsFailedPrecondition(Enter(claim)));
  EXPECT_TRUE(Enter(ClaimOf(1, 2)).ok());
}

TEST_F(RosterTest, TheFirstErrorWinsAndReachesAll) {
  OpenWithAll(3);
  Report(2, absl::StatusCode::kInternal, "kernel MatMul failed");
  Report(0, absl::StatusCode::kInternal, "something later");
  roster_->Lose(1, "reset", now_);
  EXPECT_EQ(Verdict(), "rank 2: kernel MatMul failed");
  EXPECT_EQ(roster_->failure()->rank, 2) << "the rank that says it, not the one it names";
  EXPECT_EQ(told_, 1);
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(Failures(rank), 1) << rank;
}

TEST_F(RosterTest, AConnectionThatBreaksIsADeath) {
  OpenWithAll(2);
  proto::FromRank word;
  proto::Position& position = *word.mutable_beat()->mutable_position();
  position.set_instruction(41);
  position.set_action("RECV");
  position.set_edge("relu5");
  position.set_micro_batch(7);
  ASSERT_TRUE(roster_->Hear(1, word, now_).ok());
  roster_->Lose(1, "it was reset", now_);
  EXPECT_EQ(roster_->failure()->kind, JobFailure::Kind::kDied);
  EXPECT_EQ(roster_->failure()->rank, 1);
  EXPECT_THAT(Verdict(), HasSubstr("it stood at instruction 41, RECV edge relu5 of micro-batch 7"));
  EXPECT_EQ(Failures(0), 1);
}

TEST_F(RosterTest, AConsequenceWaitsForItsCause) {
  OpenWithAll(3);
  Report(2, absl::StatusCode::kUnavailable, "connection closed by peer");
  EXPECT_EQ(Verdict(), "none");
  Pass(milliseconds(200), {0, 1, 2});
  roster_->Lose(1, "it was reset", now_);
  EXPECT_THAT(Verdict(), HasSubstr("rank 1 died"));
}

TEST_F(RosterTest, AConsequenceWithoutACauseIsBelieved) {
  OpenWithAll(2);
  Report(0, absl::StatusCode::kUnavailable, "connection closed by peer");
  Pass(milliseconds(350), {0, 1});
  EXPECT_EQ(Verdict(), "none");
  Pass(milliseconds(100), {0, 1});
  EXPECT_EQ(Verdict(), "rank 0: connection closed by peer");
}

TEST_F(RosterTest, AWitnessMayGoBeforeTheCauseIsKnown) {
  OpenWithAll(2);
  Report(0, absl::StatusCode::kUnavailable, "connection closed by peer");
  roster_->Lose(0, "closed", now_);
  EXPECT_EQ(Verdict(), "none");
  roster_->Lose(1, "it was reset", now_);
  EXPECT_THAT(Verdict(), HasSubstr("rank 1 died"));
}

TEST_F(RosterTest, SilenceIsAHang) {
  OpenWithAll(3);
  Pass(milliseconds(9900), {0, 2});
  EXPECT_EQ(Verdict(), "none");
  Pass(milliseconds(200), {0, 2});
  EXPECT_EQ(roster_->failure()->kind, JobFailure::Kind::kHung);
  EXPECT_EQ(roster_->failure()->rank, 1);
  EXPECT_THAT(Verdict(), AllOf(HasSubstr("rank 1 hung"), HasSubstr("heartbeat timeout is 10.0 s")));
}

TEST_F(RosterTest, ACoordinatorThatWasStoppedAccusesNobody) {
  OpenWithAll(2);
  Pass(milliseconds(500), {0, 1});
  now_ += std::chrono::minutes(5);
  roster_->Tick(now_);
  EXPECT_EQ(Verdict(), "none");
  Pass(milliseconds(10100), {0});
  EXPECT_EQ(roster_->failure()->rank, 1);
}

// Rank 0's process was stopped for longer than the timeout. When it goes on it finds the others gone: that is its doing.
TEST_F(RosterTest, ACoordinatorThatWasSuspendedTooLongAccusesItsOwnRank) {
  Open(2, /*host_rank=*/0);
  for (int rank = 0; rank < 2; ++rank) ASSERT_TRUE(Enter(ClaimOf(rank, 2)).ok());
  Pass(milliseconds(200), {0, 1});
  now_ += milliseconds(11000);
  roster_->Tick(now_);
  EXPECT_EQ(Verdict(), "none");
  roster_->Lose(1, "reset", now_ + milliseconds(5));
  EXPECT_THAT(Verdict(), AllOf(HasSubstr("rank 0 hung"), HasSubstr("suspended for 11.0 s")));
  EXPECT_EQ(roster_->failure()->rank, 0);
}

TEST_F(RosterTest, WhoHasLeftIsNeitherDeadNorSilent) {
  OpenWithAll(2);
  Leave(1);
  Pass(milliseconds(20000), {0});
  EXPECT_EQ(Verdict(), "none");
  EXPECT_FALSE(roster_->AwaitEmpty(absl::ZeroDuration()));
  Leave(0);
  EXPECT_TRUE(roster_->AwaitEmpty(absl::ZeroDuration()));
  EXPECT_EQ(told_, 0);
}

TEST_F(RosterTest, AClosedCoordinatorAccusesNobody) {
  OpenWithAll(2);
  roster_->Close();
  roster_->Lose(0, "cut", now_);
  Pass(milliseconds(20000), {});
  EXPECT_EQ(Verdict(), "none");
  EXPECT_EQ(Failures(1), 0);
  EXPECT_EQ(told_, 0);
}

TEST_F(RosterTest, ALateRankLearnsWhyTheJobFailed) {
  Open(2);
  ASSERT_TRUE(Enter(ClaimOf(0, 2)).ok());
  Report(0, absl::StatusCode::kInternal, "no memory");
  const absl::Status late = Enter(ClaimOf(1, 2));
  EXPECT_TRUE(absl::IsFailedPrecondition(late));
  EXPECT_THAT(std::string(late.message()), HasSubstr("rank 0: no memory"));
}

TEST_F(RosterTest, ATimeoutComesWithItsCause) {
  OpenWithAll(2);
  Report(1, absl::StatusCode::kDeadlineExceeded, "waited 30 s for edge x");
  EXPECT_THAT(Verdict(), AllOf(HasSubstr("waited 30 s for edge x\n"), HasSubstr("rank")));
}

TEST_F(RosterTest, GathersOnceEachKey) {
  OpenWithAll(2);
  const auto gather = [this](int rank, const std::string& key, const std::string& value) {
    proto::FromRank word;
    word.mutable_gather()->set_key(key);
    word.mutable_gather()->set_value(value);
    inbox_[rank].clear();
    ASSERT_TRUE(roster_->Hear(rank, word, now_).ok());
  };
  gather(1, "addresses", "b");
  gather(0, "addresses", "a");
  ASSERT_TRUE(inbox_[0].back()->has_gathered());
  EXPECT_THAT(inbox_[0].back()->gathered().values(), ::testing::ElementsAre("a", "b"));
  gather(0, "addresses", "c");
  EXPECT_THAT(inbox_[0].back()->gather_refused().why(), HasSubstr("uses the key 'addresses' twice"));
  gather(0, "large", std::string(kMostValueBytes + 1, 'x'));
  EXPECT_THAT(inbox_[0].back()->gather_refused().why(), HasSubstr("limit is 65536"));
  gather(0, "large", std::string(kMostValueBytes, 'x'));
  gather(1, "large", std::string(kMostValueBytes, 'y'));
  EXPECT_TRUE(inbox_[1].back()->has_gathered());
}

TEST(GatherRoundsTest, LargeRoundsComeInPieces) {
  GatherRounds rounds(9);
  for (int rank = 0; rank < 9; ++rank) {
    ASSERT_TRUE(rounds.TakeComplete("k").empty());
    ASSERT_TRUE(rounds.Add("k", rank, std::string(kMostValueBytes, 'a' + rank)).ok());
  }
  const auto pieces = rounds.TakeComplete("k");
  EXPECT_GT(pieces.size(), 1);
  int next = 0;
  for (const auto& piece : pieces) {
    EXPECT_LE(piece->ByteSizeLong(), kPieceBytes + 1024);
    EXPECT_EQ(piece->gathered().first_rank(), next);
    for (const std::string& value : piece->gathered().values()) EXPECT_EQ(value[0], 'a' + next++);
  }
  EXPECT_EQ(next, 9);
  EXPECT_TRUE(rounds.TakeComplete("k").empty());
}

TEST(RankListTest, IsShort) {
  EXPECT_EQ(RankList({}), "none");
  EXPECT_EQ(RankList({1, 3}), "1, 3");
  EXPECT_EQ(RankList({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
}

}  // namespace
}  // namespace millrace
