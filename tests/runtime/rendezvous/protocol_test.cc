// Peers that speak gRPC but not our protocol, in every order, with and without the token. The job must not notice.
#include <gmock/gmock.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "runtime/rendezvous/address.h"
#include "runtime/rendezvous/client_stream.h"
#include "tests/runtime/rendezvous/job_fixture.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

class ProtocolTest : public JobFixture {
 protected:
  std::unique_ptr<ClientStream> Call() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const HostPort where = *ParseHostPort(address_);
    return std::make_unique<ClientStream>(
        grpc::CreateCustomChannel(GrpcTarget(where.host, where.port), grpc::InsecureChannelCredentials(), arguments));
  }
  // Words until the end, which must come within ten seconds.
  absl::Status EndOf(ClientStream& stream) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    proto::ToRank word;
    absl::Status end;
    while (true) {
      switch (stream.Next(until, &word, &end)) {
        case ClientStream::Event::kWord:
          continue;
        case ClientStream::Event::kEnd:
          return end;
        case ClientStream::Event::kNothing:
          return absl::OkStatus();
      }
    }
  }
  static proto::FromRank HelloOf(size_t nonce_bytes) {
    proto::FromRank word;
    word.mutable_hello()->set_protocol(kControlProtocol);
    word.mutable_hello()->set_nonce(std::string(nonce_bytes, 'n'));
    return word;
  }
  // A rank in the job, by hand.
  std::unique_ptr<ClientStream> JoinByHand(const std::string& claim) {
    std::unique_ptr<ClientStream> stream = Call();
    stream->Send(HelloOf(kNonceBytes));
    proto::ToRank challenge;
    absl::Status end;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    EXPECT_EQ(stream->Next(until, &challenge, &end), ClientStream::Event::kWord);
    proto::FromRank join;
    join.mutable_join()->set_claim(claim);
    join.mutable_join()->set_proof(
        token_.Prove("rank", std::string(kNonceBytes, 'n'), challenge.challenge().nonce(), claim));
    stream->Send(std::move(join));
    return stream;
  }
  std::string ClaimOf(int rank) const {
    proto::Claim claim;
    claim.set_job("job");
    claim.set_plan_hash("hash");
    claim.set_version("1.0");
    claim.set_rank(rank);
    claim.set_size(size_);
    return claim.SerializeAsString();
  }
};

TEST_F(ProtocolTest, WordsOutOfOrderEndTheStreamOfAStranger) {
  const auto clients = Form(2);
  const auto ends = [this](const std::vector<proto::FromRank>& words) {
    const std::unique_ptr<ClientStream> stream = Call();
    for (const proto::FromRank& word : words) stream->Send(word);
    return EndOf(*stream);
  };
  proto::FromRank beat, leave, failure, join, other;
  beat.mutable_beat();
  leave.mutable_leave();
  failure.mutable_failure()->set_rank(1);
  join.mutable_join()->set_claim(ClaimOf(0));
  other.mutable_hello()->set_protocol(kControlProtocol + 1);
  for (const auto& words : std::vector<std::vector<proto::FromRank>>{{proto::FromRank()},
                                                                     {beat},
                                                                     {leave},
                                                                     {failure},
                                                                     {join},
                                                                     {HelloOf(kNonceBytes), HelloOf(kNonceBytes)},
                                                                     {HelloOf(kNonceBytes), beat},
                                                                     {HelloOf(5)}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ends(words))) << words.back().ShortDebugString();
  }
  EXPECT_THAT(std::string(ends({other}).message()), HasSubstr("protocol 2"));
  EXPECT_TRUE(absl::IsUnauthenticated(ends({HelloOf(kNonceBytes), join})));
  proto::FromRank large;
  large.mutable_hello()->set_nonce(std::string(10 << 20, 'x'));
  EXPECT_FALSE(ends({large}).ok());
  ExpectTheJobWorks(clients, "key");
  EXPECT_FALSE(server_->failure().has_value());
}

TEST_F(ProtocolTest, WhoSaysNothingIsSentAway) {
  Serve(1, [](ServerOptions* options) { options->stranger_patience = absl::Milliseconds(300); });
  const std::unique_ptr<ClientStream> silent = Call(), half = Call();
  half->Send(HelloOf(kNonceBytes));
  EXPECT_FALSE(EndOf(*half).ok());
  EXPECT_FALSE(EndOf(*silent).ok());
}

TEST_F(ProtocolTest, ACrowdOfStrangersLeavesRoomForRanks) {
  Serve(2, [](ServerOptions* options) { options->stranger_patience = absl::Seconds(2); });
  std::vector<std::unique_ptr<ClientStream>> crowd;
  for (int i = 0; i < 300; ++i) crowd.push_back(Call());
  for (const JoinResult& result : JoinAll()) EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(ProtocolTest, AProvenClaimMayStillBeNonsense) {
  Serve(2);
  std::mt19937 random(11);
  for (int i = 0; i < 40; ++i) {
    std::string claim = ClaimOf(1);
    for (int edit = 0; edit < 3; ++edit) claim[random() % claim.size()] = static_cast<char>(random());
    if (claim == ClaimOf(1)) continue;
    EXPECT_FALSE(EndOf(*JoinByHand(claim)).ok()) << i;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(EndOf(*JoinByHand(std::string(5000, 'x')))));
  for (const JoinResult& result : JoinAll()) EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(ProtocolTest, ARankThatBreaksTheProtocolHasDied) {
  Serve(2);
  const std::unique_ptr<ClientStream> stream = JoinByHand(ClaimOf(1));
  ASSERT_TRUE(Eventually([this] { return server_->HasJoined(1); }));
  stream->Send(HelloOf(kNonceBytes));
  EXPECT_TRUE(absl::IsInvalidArgument(EndOf(*stream)));
  ASSERT_TRUE(server_->failure().has_value());
  EXPECT_THAT(server_->failure()->message, HasSubstr("rank 1 died"));
}

// Whatever a rank with the token says, the coordinator stays up and says in the end why it let the job go.
TEST_F(ProtocolTest, RandomWordsOfARankDoNotBreakTheCoordinator) {
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    Serve(2);
    const std::unique_ptr<ClientStream> stream = JoinByHand(ClaimOf(1));
    for (int i = 0; i < 200; ++i) {
      proto::FromRank word;
      std::string text(random() % 300, '\0');
      for (char& c : text) c = static_cast<char>(random());
      const int number = static_cast<int>(random());
      switch (random() % 5) {
        case 0:
          word.mutable_beat()->mutable_position()->set_edge(text);
          word.mutable_beat()->mutable_position()->set_peer(number % 4);
          word.mutable_beat()->mutable_position()->set_instruction(number);
          word.mutable_beat()->mutable_position()->set_peer_instruction(number / 2);
          break;
        case 1:
          word.mutable_gather()->set_key(text);
          word.mutable_gather()->set_value(text);
          break;
        case 2:
          word.mutable_ask_absent()->set_key(text);
          break;
        case 3:
          word.mutable_ask_report();
          break;
        default:
          if (i < 150) continue;
          word.mutable_failure()->set_code(number);
          word.mutable_failure()->set_kind(static_cast<proto::Failure::Kind>(number % 9));
          word.mutable_failure()->set_rank(number);
          word.mutable_failure()->set_message(text);
      }
      stream->Send(std::move(word));
    }
    ASSERT_TRUE(Eventually([this] { return server_->failure().has_value(); }));
    EXPECT_EQ(server_->failure()->rank, 1);
    EXPECT_FALSE(server_->failure()->status().ok());
    EXPECT_FALSE(server_->Report().empty());
  }
}

}  // namespace
}  // namespace millrace
