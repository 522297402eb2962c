// Memberships of threads that stand for processes: who may join, how they meet, whose error counts.
#include "runtime/membership/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "runtime/membership/own_address.h"
#include "runtime/membership/shared_token.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

LaunchContract Contract(int rank, int size, int port, const std::string& source = "torchrun") {
  LaunchContract contract;
  contract.source = contract.source_key = source;
  contract.rank = contract.local_rank = rank;
  contract.size = contract.local_size = size;
  contract.coordinator = Endpoint{"127.0.0.1", port};
  return contract;
}

MembershipOptions Options(const LaunchContract& contract) {
  MembershipOptions options;
  options.transport = TransportKind::kGloo;
  options.contract = contract;
  options.ranks = contract.size;
  options.plan_hash = "aaaa";
  options.version = "test";
  options.join_within = absl::Seconds(60);
  return options;
}

// Ports of this test's own, below those that the system hands out.
int NextTestPort() {
  static int port = 21000 + getpid() % 5000;
  return ++port;
}

TEST(ChooseTransport, FollowsTheLauncherUnlessAskedOtherwise) {
  const LaunchContract alone;
  EXPECT_EQ(*ChooseTransport("", alone), TransportKind::kInProcess);
  EXPECT_EQ(*ChooseTransport("gloo", alone), TransportKind::kGloo);
  EXPECT_EQ(ChooseTransport("mpi", alone).status().code(), absl::StatusCode::kFailedPrecondition);
  const LaunchContract torchrun = Contract(0, 2, 1);
  EXPECT_EQ(*ChooseTransport("", torchrun), TransportKind::kGloo);
  const absl::Status refused = ChooseTransport("in_process", torchrun).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("torchrun says rank 0 of 2"));
  EXPECT_EQ(*ChooseTransport("gloo", Contract(0, 2, 1, "mpi")), TransportKind::kGloo);
  const absl::Status unknown = ChooseTransport("glue", alone).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("in_process, gloo, mpi and nccl"));
}

TEST(Membership, OfAProcessAloneHasAllRanks) {
  MembershipOptions options;
  options.ranks = 3;
  auto alone = Membership::Make(options);
  ASSERT_TRUE(alone.ok());
  EXPECT_TRUE((*alone)->here().empty());
  EXPECT_FALSE((*alone)->make_communicator());
  EXPECT_EQ((*alone)->End(absl::DataLossError("broken")), absl::DataLossError("broken"));
}

TEST(Membership, ChecksTheLaunchAgainstThePlan) {
  MembershipOptions options = Options(Contract(1, 2, 1));
  options.ranks = 3;
  EXPECT_THAT(std::string(Membership::Make(options).status().message()), HasSubstr("the plan has 3 ranks"));
  options = Options(Contract(1, 2, 1));
  options.contract.coordinator.reset();
  EXPECT_THAT(std::string(Membership::Make(options).status().message()), HasSubstr("--coordinator"));
  options = Options(Contract(1, 2, 1));
  options.contract.local_size = 1;
  options.contract.coordinator->host = "192.0.2.1";
  EXPECT_THAT(std::string(Membership::Make(options).status().message()), HasSubstr("--token-file"));
}

TEST(Membership, RanksMeetTalkAndLeave) {
  const int port = NextTestPort();
  // An earlier job was killed before it could clear away.
  ASSERT_TRUE(LeaveSharedToken(SharedTokenPath(port)).ok());
  std::vector<std::thread> processes;
  for (int rank = 2; rank >= 0; --rank) {
    processes.emplace_back([rank, port] {
      if (rank == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
      MembershipOptions options = Options(Contract(rank, 3, port));
      options.tls = {"/absent", "/absent", "/absent"};  // for a network; one machine does without
      auto membership = Membership::Make(options);
      ASSERT_TRUE(membership.ok()) << membership.status();
      EXPECT_THAT((*membership)->here(), ElementsAre(rank));
      EXPECT_EQ((*membership)->on_this_host(), 3);
      auto communicator = (*membership)->make_communicator()(rank);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      std::vector<int> all(3);
      ASSERT_TRUE((*communicator)->AllGather(&rank, all.data(), sizeof(int)).ok());
      EXPECT_THAT(all, ElementsAre(0, 1, 2));
      EXPECT_TRUE((*membership)->End(absl::OkStatus()).ok());
    });
  }
  for (std::thread& process : processes) process.join();
  EXPECT_FALSE(fs::exists(SharedTokenPath(port)));
}

TEST(Membership, TheFirstErrorIsEveryRanks) {
  const int port = NextTestPort();
  std::vector<absl::Status> ends(2);
  std::vector<std::thread> processes;
  for (int rank = 0; rank < 2; ++rank) {
    processes.emplace_back([&ends, rank, port] {
      auto membership = Membership::Make(Options(Contract(rank, 2, port)));
      ASSERT_TRUE(membership.ok()) << membership.status();
      auto communicator = (*membership)->make_communicator()(rank);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      absl::Status mine;
      if (rank == 1) {
        mine = absl::ResourceExhaustedError("the disk is full");
      } else {
        mine = (*communicator)->Barrier();  // rank 1 never comes
        EXPECT_FALSE(mine.ok());
      }
      ends[rank] = (*membership)->End(mine);
    });
  }
  for (std::thread& process : processes) process.join();
  for (const absl::Status& end : ends) {
    EXPECT_EQ(end.code(), absl::StatusCode::kResourceExhausted) << end;
    EXPECT_THAT(std::string(end.message()), HasSubstr("the disk is full"));
  }
}

TEST(Membership, ALongWaitSaysWhereEveryRankStands) {
  const int port = NextTestPort();
  absl::Status waited;
  std::vector<std::thread> processes;
  for (int rank = 0; rank < 2; ++rank) {
    processes.emplace_back([&waited, rank, port] {
      MembershipOptions options = Options(Contract(rank, 2, port));
      options.waits.warn_after = absl::Seconds(1);
      if (rank == 1) options.waits.terminate_after = absl::Seconds(3);
      auto membership = Membership::Make(options);
      ASSERT_TRUE(membership.ok()) << membership.status();
      auto communicator = (*membership)->make_communicator()(rank);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      const StandFn stand = (*membership)->make_stand()(rank);
      if (rank == 0) {
        stand({.instruction = 38, .action = "RUN", .micro_batch = 9});
        EXPECT_FALSE((*communicator)->Barrier().ok());  // until rank 1 has given up
      } else {
        stand({.instruction = 41,
               .action = "RECV",
               .edge = "relu5",
               .micro_batch = 7,
               .peer = 0,
               .peer_instruction = 30});
        char byte = 0;
        const Transfer transfer{.send = false, .peer = 0, .tag = 1, .memory = &byte, .bytes = 1};
        const auto ticket = (*communicator)->Post({&transfer, 1});
        ASSERT_TRUE(ticket.ok()) << ticket.status();
        waited = (*communicator)->Wait(*ticket, [] { return std::string("rank 1 waits for its peer"); });
      }
      (*membership)->End(absl::DeadlineExceededError("gave up")).IgnoreError();
    });
  }
  for (std::thread& process : processes) process.join();
  EXPECT_EQ(waited.code(), absl::StatusCode::kDeadlineExceeded) << waited;
  for (const char* words : {"rank 1 waits for its peer", "rank 1 waits for edge relu5 of micro-batch 7 from rank 0",
                            "instruction 41", "instruction 38"}) {
    EXPECT_THAT(std::string(waited.message()), HasSubstr(words));
  }
}

TEST(Membership, OneProcessMayHaveSeveralRanks) {
  const int port = NextTestPort();
  LaunchContract contract = Contract(0, 2, port);
  contract.ranks_here = 2;
  auto membership = Membership::Make(Options(contract));
  ASSERT_TRUE(membership.ok()) << membership.status();
  EXPECT_THAT((*membership)->here(), ElementsAre(0, 1));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      auto communicator = (*membership)->make_communicator()(rank);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      EXPECT_TRUE((*communicator)->Barrier().ok());
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_TRUE((*membership)->End(absl::OkStatus()).ok());
}

TEST(SharedToken, IsForItsOwnerAlone) {
  const std::string path = SharedTokenPath(NextTestPort());
  const auto first = LeaveSharedToken(path), second = LeaveSharedToken(path);
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  EXPECT_NE(first->text(), second->text());
  struct stat facts;
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(JobToken::FromFile(path)->text(), second->text());
  fs::remove(path);
}

TEST(OwnAddress, OthersMayUseAnyBeyondLoopback) {
  for (const std::string& address : AddressesBeyondLoopback()) {
    EXPECT_NE(address.substr(0, 4), "127.");
    EXPECT_NE(address, "::1");
    EXPECT_EQ(*OwnAddressTowards(address, 80), address) << "it is this machine's own";
  }
}

TEST(OwnAddress, LeadsThere) {
  EXPECT_EQ(*OwnAddressTowards("127.0.0.1", 80), "127.0.0.1");
  EXPECT_EQ(OwnAddressTowards("no-such-host.invalid", 80).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace millrace
