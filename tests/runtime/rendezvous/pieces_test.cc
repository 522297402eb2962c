// The small pieces: token, position board, addresses, environment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "runtime/rendezvous/address.h"
#include "runtime/rendezvous/environment.h"
#include "runtime/rendezvous/position.h"
#include "runtime/rendezvous/token.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

TEST(TokenTest, ProvesOnlyWhatWasSaidToWhom) {
  const JobToken token = JobToken::Random();
  EXPECT_EQ(token.text().size(), 64);
  const std::string a = RandomBytes(kNonceBytes), b = RandomBytes(kNonceBytes);
  const std::string proof = token.Prove("rank", a, b, "claim");
  EXPECT_TRUE(token.Accepts(proof, "rank", a, b, "claim"));
  EXPECT_FALSE(token.Accepts(proof, "coordinator", a, b, "claim")) << "reflected";
  EXPECT_FALSE(token.Accepts(proof, "rank", b, a, "claim"));
  EXPECT_FALSE(token.Accepts(proof, "rank", a, RandomBytes(kNonceBytes), "claim")) << "replayed";
  EXPECT_FALSE(token.Accepts(proof, "rank", a, b, "another"));
  EXPECT_FALSE(token.Accepts(proof.substr(1), "rank", a, b, "claim"));
  EXPECT_FALSE(token.Accepts("", "rank", a, b, "claim"));
  EXPECT_FALSE(JobToken::Random().Accepts(proof, "rank", a, b, "claim"));
  EXPECT_FALSE(JobToken().Accepts(JobToken().Prove("rank", a, b, "claim"), "rank", a, b, "claim"));
  for (size_t bit = 0; bit < 8 * proof.size(); ++bit) {
    std::string spoiled = proof;
    spoiled[bit / 8] ^= 1 << bit % 8;
    ASSERT_FALSE(token.Accepts(spoiled, "rank", a, b, "claim")) << bit;
  }
}

TEST(TokenTest, ComesFromAFileThatOnlyItsOwnerReads) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/token");
  unlink(path.c_str());
  EXPECT_TRUE(absl::IsNotFound(JobToken::FromFile(path).status()));
  const JobToken token = JobToken::Random();
  ASSERT_TRUE(token.WriteTo(path).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(token.WriteTo(path)));
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600);
  const absl::StatusOr<JobToken> read = JobToken::FromFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->text(), token.text());
  chmod(path.c_str(), 0644);
  EXPECT_TRUE(absl::IsPermissionDenied(JobToken::FromFile(path).status()));
  chmod(path.c_str(), 0640);
  EXPECT_TRUE(JobToken::FromFile(path).ok()) << "the group of a mounted secret";
  unlink(path.c_str());
}

TEST(TokenTest, ShortTokensAreRefused) {
  EXPECT_FALSE(JobToken::FromText(" short \n").ok());
  EXPECT_FALSE(JobToken::FromText(std::string(2000, 'x')).ok());
  EXPECT_EQ(JobToken::FromText(" sixteen bytes ok \n")->text(), "sixteen bytes ok");
}

TEST(PositionBoardTest, GivesEachNoteOnce) {
  PositionBoard board;
  uint64_t seen = 0;
  proto::Position position;
  EXPECT_FALSE(board.ReadNew(&seen, &position));
  board.Write(
      {.instruction = 41, .action = "RECV", .edge = "relu5", .micro_batch = 7, .peer = 2, .peer_instruction = 38});
  ASSERT_TRUE(board.ReadNew(&seen, &position));
  EXPECT_EQ(position.instruction(), 41);
  EXPECT_EQ(position.action(), "RECV");
  EXPECT_EQ(position.edge(), "relu5");
  EXPECT_EQ(position.micro_batch(), 7);
  EXPECT_EQ(position.peer(), 2);
  EXPECT_EQ(position.peer_instruction(), 38);
  EXPECT_FALSE(board.ReadNew(&seen, &position));
  const std::string lengthy(300, 'e');
  board.Write({.instruction = 42, .edge = lengthy});
  ASSERT_TRUE(board.ReadNew(&seen, &position));
  EXPECT_EQ(position.edge(), lengthy.substr(0, PositionBoard::kEdgeBytes));
  EXPECT_EQ(position.peer(), -1);
}

TEST(PositionBoardTest, NeverMixesTwoNotes) {
  PositionBoard board;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int64_t i = 1; !stop; ++i) {
      const std::string edge(1 + i % 90, static_cast<char>('a' + i % 26));
      board.Write({.instruction = i, .edge = edge, .micro_batch = i, .peer_instruction = i});
    }
  });
  uint64_t seen = 0;
  int read = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (read < 50 && std::chrono::steady_clock::now() < until) {
    proto::Position position;
    if (!board.ReadNew(&seen, &position)) continue;
    const int64_t i = position.instruction();
    ASSERT_EQ(position.micro_batch(), i);
    ASSERT_EQ(position.peer_instruction(), i);
    ASSERT_EQ(position.edge(), std::string(1 + i % 90, static_cast<char>('a' + i % 26)));
    ++read;
  }
  stop = true;
  writer.join();
  EXPECT_GT(read, 0);  // how many depends on how often the two threads run at once
}

TEST(AddressTest, ReadsHostAndPort) {
  EXPECT_EQ(ParseHostPort("node-0.svc:29400")->host, "node-0.svc");
  EXPECT_EQ(ParseHostPort("[::1]:80")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:80")->ToString(), "[::1]:80");
  EXPECT_EQ(GrpcTarget("::1", 80), "ipv6:[::1]:80");
  for (const char* wrong : {"", "host", ":1", "host:", "host:x", "host:70000", "host:-1", "::1:80", "[host]:1", "a b:1",
                            "unix:/tmp/x:1", "a,b:1", "h\n:1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseHostPort(wrong).status())) << wrong;
  }
}

TEST(AddressTest, KnowsLoopback) {
  for (const char* host : {"127.0.0.1", "127.3.2.1", "::1", "localhost"}) EXPECT_TRUE(IsLoopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "example.org", "localhost.evil.org", ""}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(AddressTest, ResolvesNumbersAndSaysWhatItCannot) {
  EXPECT_EQ(ResolveWithSystem("127.0.0.1")->at(0), "127.0.0.1");
  const absl::Status unknown = ResolveWithSystem("no-such-name.invalid").status();
  EXPECT_TRUE(absl::IsUnavailable(unknown));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("no-such-name.invalid"));
}

class EnvironmentTest : public ::testing::Test {
 protected:
  absl::StatusOr<RendezvousOptions> Read() {
    return OptionsFromEnvironment([this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    });
  }
  std::map<std::string, std::string> variables_ = {
      {"MILLRACE_RANK", "1"},        {"MILLRACE_SIZE", "4"},  {"MILLRACE_COORDINATOR", "127.0.0.1:5000"},
      {"MILLRACE_TOKEN_FILE", "/t"}, {"MILLRACE_JOB", "job"}, {"MILLRACE_RESTART", "2"}};
};

TEST_F(EnvironmentTest, GivesTheOptions) {
  const absl::StatusOr<RendezvousOptions> options = Read();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->rank, 1);
  EXPECT_EQ(options->identity.size, 4);
  EXPECT_EQ(options->identity.incarnation, 2);
  EXPECT_EQ(options->coordinator, "127.0.0.1:5000");
}

TEST_F(EnvironmentTest, NamesTheWrongVariable) {
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"MILLRACE_RANK", "4"}, {"MILLRACE_SIZE", "0"}, {"MILLRACE_RESTART", "-1"}, {"MILLRACE_JOB", ""}}) {
    const std::string before = std::exchange(variables_[name], value);
    EXPECT_THAT(std::string(Read().status().message()), HasSubstr(name));
    variables_[name] = before;
  }
}

}  // namespace
}  // namespace millrace
