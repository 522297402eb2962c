// Whoever can reach the port without the token: scans, garbage, half-open and slow connections. The job must not
// notice.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "runtime/rendezvous/address.h"
#include "tests/runtime/rendezvous/job_fixture.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

// A socket connected to the port, or -1.
int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

void Send(int fd, const std::string& bytes) {
  [[maybe_unused]] const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::string Garbage(std::mt19937* random, size_t bytes) {
  std::string garbage(bytes, '\0');
  for (char& c : garbage) c = static_cast<char>((*random)());
  return garbage;
}

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Things that a stranger may send, some of them the beginning of something right.
std::vector<std::string> Openings(std::mt19937* random) {
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  return {
      "",
      Garbage(random, 64),
      Garbage(random, 70000),
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      std::string(kPreface).substr(0, 10),
      kPreface,
      kPreface + settings + Garbage(random, 4096),
      kPreface + settings + std::string("\xff\xff\xff\0\0\0\0\0\1", 9),             // a frame of 16 MiB
      kPreface + settings + std::string("\0\0\4\1\4\0\0\0\1\x82\x84\x86\xff", 13),  // half a header
      std::string("\x16\3\1\2\0\1\0\1\xfc\3\3", 11) + Garbage(random, 32),          // the start of TLS
  };
}

class HostileTest : public JobFixture {
 protected:
  int port() const { return ParseHostPort(address_)->port; }
};

TEST_F(HostileTest, ScansAndGarbageWhileTheJobForms) {
  Serve(3);
  std::atomic<bool> stop{false};
  std::atomic<int> connections{0};
  std::vector<std::thread> strangers;
  for (int i = 0; i < 3; ++i) {
    strangers.emplace_back([&, i] {
      std::mt19937 random(i);
      while (!stop) {
        for (const std::string& opening : Openings(&random)) {
          const int fd = Connect(port());
          if (fd < 0) continue;
          Send(fd, opening);
          ++connections;
          close(fd);
        }
      }
    });
  }
  std::vector<std::unique_ptr<RendezvousClient>> clients;
  for (JoinResult& result : JoinAll()) {
    EXPECT_TRUE(result.ok()) << result.status();
    if (result.ok()) clients.push_back(*std::move(result));
  }
  for (int round = 0; round < 20; ++round) ExpectTheJobWorks(clients, absl::StrCat("round ", round));
  stop = true;
  for (std::thread& stranger : strangers) stranger.join();
  std::printf("%d connections of strangers\n", connections.load());
  EXPECT_GT(connections.load(), 50);
  EXPECT_FALSE(server_->failure().has_value());
  for (const auto& client : clients) EXPECT_TRUE(client->Leave().ok());
}

TEST_F(HostileTest, HalfOpenConnectionsAreClosedAndDoNoHarm) {
  Serve(2, [](ServerOptions* options) { options->stranger_patience = absl::Seconds(1); });
  std::mt19937 random(5);
  std::vector<int> sockets;
  absl::Cleanup closing = [&] {
    for (const int fd : sockets) close(fd);
  };
  for (int i = 0; i < 20; ++i) {
    for (const std::string& opening : Openings(&random)) {
      const int fd = Connect(port());
      ASSERT_GE(fd, 0);
      Send(fd, opening);
      sockets.push_back(fd);
    }
  }
  std::vector<std::unique_ptr<RendezvousClient>> clients;
  for (JoinResult& result : JoinAll()) {
    ASSERT_TRUE(result.ok()) << result.status();
    clients.push_back(*std::move(result));
  }
  ExpectTheJobWorks(clients, "key");
  // One byte a while, as slow clients do, until the coordinator has hung up on all of them.
  const auto open = [&sockets] {
    int count = 0;
    for (const int fd : sockets) {
      Send(fd, "x");
      char bytes[256];
      ssize_t n;
      while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
      }
      count += n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
    return count;
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(40);
  int left = open();
  while (left > 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    left = open();
  }
  EXPECT_EQ(left, 0) << "connections are still open";
  ExpectTheJobWorks(clients, "after");
  EXPECT_FALSE(server_->failure().has_value());
}

TEST_F(HostileTest, MoreConnectionsThanDescriptorsDoNotEndTheJob) {
  // This process holds both ends, so the limit meets the strangers as much as the coordinator.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto clients = Form(2);
  rlimit small = before;
  small.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  absl::Cleanup restore = [&] { setrlimit(RLIMIT_NOFILE, &before); };
  std::vector<int> sockets;
  for (int i = 0; i < 400; ++i) {
    const int fd = Connect(port());
    if (fd >= 0) sockets.push_back(fd);
  }
  EXPECT_LT(sockets.size(), 200);
  ExpectTheJobWorks(clients, "crowded");
  ASSERT_GT(sockets.size(), 10);
  for (int i = 0; i < 10; ++i) {  // this process made the crowd itself, and leaves room for the next line
    close(sockets.back());
    sockets.pop_back();
  }
  EXPECT_TRUE(std::ifstream("/proc/self/status").good()) << "files can be opened";
  for (const int fd : sockets) close(fd);
  ExpectTheJobWorks(clients, "after");
  EXPECT_FALSE(server_->failure().has_value());
}

TEST_F(HostileTest, ACrowdBeforeTheJobFormsOnlyDelaysIt) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  Serve(2);
  rlimit small = before;
  small.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  std::vector<int> sockets;
  for (int i = 0; i < 400; ++i) {
    const int fd = Connect(port());
    if (fd >= 0) sockets.push_back(fd);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  for (const int fd : sockets) close(fd);
  setrlimit(RLIMIT_NOFILE, &before);
  for (const JoinResult& result : JoinAll()) EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(HostileTest, ARankDoesNotTrustWhoeverHoldsThePort) {
  Serve(1, [](ServerOptions* options) { options->token = JobToken::Random(); });
  EXPECT_TRUE(absl::IsUnauthenticated(RendezvousClient::Join(Rank(0)).status()));
}

TEST_F(HostileTest, PlainTextStaysOnThisMachine) {
  ServerOptions options;
  options.identity.size = 1;
  options.token = token_;
  options.bind = "0.0.0.0:0";
  const absl::Status open = RendezvousServer::Start(options).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(open)) << open;
  EXPECT_THAT(std::string(open.message()), HasSubstr("--insecure"));
  options.insecure = true;
  EXPECT_TRUE(RendezvousServer::Start(options).ok());
  options.insecure = false;
  options.tls.key = "key.pem";
  EXPECT_TRUE(absl::IsInvalidArgument(RendezvousServer::Start(options).status()));
  options.tls = {};
  options.token = JobToken();
  options.bind = "127.0.0.1:0";
  EXPECT_TRUE(absl::IsInvalidArgument(RendezvousServer::Start(options).status())) << "no token, no coordinator";

  RendezvousOptions rank = Rank(0);
  rank.coordinator = "10.1.2.3:29400";
  EXPECT_TRUE(absl::IsFailedPrecondition(RendezvousClient::Join(rank).status()));
}

TEST_F(HostileTest, APortIsNotShared) {
  Serve(1);
  ServerOptions options;
  options.identity.size = 1;
  options.token = token_;
  options.bind = address_;
  const absl::Status taken = RendezvousServer::Start(options).status();
  EXPECT_TRUE(absl::IsUnavailable(taken)) << taken;
  EXPECT_THAT(std::string(taken.message()), HasSubstr("another program has the port"));
}

}  // namespace
}  // namespace millrace
