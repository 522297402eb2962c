// Coordinator and ranks over real sockets: joining, refusing, exchanging, failing, leaving.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdio>
#include <future>

#include "absl/strings/str_cat.h"
#include "runtime/rendezvous/address.h"
#include "tests/runtime/rendezvous/job_fixture.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clients = std::vector<std::unique_ptr<RendezvousClient>>;

class RendezvousTest : public JobFixture {
 protected:
  std::string RefusalOf(const RendezvousOptions& options, absl::StatusCode code) {
    const absl::Status status = RendezvousClient::Join(options).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(status.message());
  }
};

TEST_F(RendezvousTest, RanksGatherAndLeave) {
  const Clients clients = Form(4);
  ExpectTheJobWorks(clients, "first");
  ExpectTheJobWorks(clients, "second");
  EXPECT_TRUE(server_->complete());
  for (const auto& client : clients) EXPECT_TRUE(client->Leave().ok());
  EXPECT_TRUE(server_->AwaitEmpty(absl::Seconds(5)));
  EXPECT_FALSE(server_->failure().has_value());
}

TEST_F(RendezvousTest, LargestValuesAndEmptyOnes) {
  const Clients clients = Form(6);
  std::vector<std::thread> threads;
  for (const auto& client : clients) {
    threads.emplace_back([&client] {
      Exchange& exchange = client->exchange();
      const std::string mine(exchange.rank() % 2 == 0 ? 65536 : 0, static_cast<char>(exchange.rank()));
      const auto all = exchange.AllGather("large", mine, absl::Now() + absl::Seconds(20));
      ASSERT_TRUE(all.ok()) << all.status();
      for (int rank = 0; rank < 6; ++rank) {
        EXPECT_EQ((*all)[rank], std::string(rank % 2 == 0 ? 65536 : 0, static_cast<char>(rank)));
      }
      EXPECT_TRUE(absl::IsInvalidArgument(exchange.AllGather("l", std::string(65537, 'x'), absl::Now()).status()));
      EXPECT_TRUE(absl::IsFailedPrecondition(exchange.AllGather("large", "", absl::InfiniteFuture()).status()));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RendezvousTest, AGatherNamesWhoDidNotCome) {
  const Clients clients = Form(3);
  const absl::Status late =
      clients[1]->exchange().AllGather("key", "x", absl::Now() + absl::Milliseconds(100)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late));
  EXPECT_THAT(std::string(late.message()), HasSubstr("'key': no word from ranks 0, 2"));
}

TEST_F(RendezvousTest, EveryWrongRankIsRefusedAndTheJobGoesOn) {
  Serve(2);
  auto first = std::async(std::launch::async, [this] { return RendezvousClient::Join(Rank(0)); });
  ASSERT_TRUE(Eventually([this] { return server_->HasJoined(0); }));

  RendezvousOptions wrong = Rank(1);
  wrong.token = JobToken::Random();
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kUnauthenticated),
              AllOf(HasSubstr("another token"), Not(HasSubstr("job:"))));
  wrong = Rank(1);
  wrong.identity.job = "another";
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kFailedPrecondition), HasSubstr("belongs to job 'another'"));
  wrong = Rank(1);
  wrong.identity.plan_hash = "f00d";
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kFailedPrecondition), HasSubstr("plan has the hash 'f00d'"));
  wrong = Rank(1);
  wrong.identity.version = "0.0.7";
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kFailedPrecondition), HasSubstr("version '0.0.7'"));
  wrong = Rank(1);
  wrong.identity.size = 3;
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kFailedPrecondition), HasSubstr("one of 3 ranks, the job has 2"));
  wrong = Rank(1);
  wrong.identity.incarnation = 1;
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kFailedPrecondition), HasSubstr("start 1 of the job"));
  wrong = Rank(2);
  EXPECT_THAT(RefusalOf(wrong, absl::StatusCode::kInvalidArgument), HasSubstr("ranks 0 to 1"));
  EXPECT_THAT(RefusalOf(Rank(0), absl::StatusCode::kAlreadyExists), HasSubstr("a rank 0 has joined already"));

  JoinResult second = RendezvousClient::Join(Rank(1));
  JoinResult done = first.get();
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_TRUE(done.ok()) << done.status();
  Clients clients;
  clients.push_back(*std::move(done));
  clients.push_back(*std::move(second));
  ExpectTheJobWorks(clients, "key");
  EXPECT_FALSE(server_->failure().has_value());
}

TEST_F(RendezvousTest, RanksMayComeBeforeTheCoordinator) {
  Serve(2);
  const std::string place = address_;
  server_.reset();  // the port is free again
  std::vector<JoinResult> results;
  std::thread ranks([&] { results = JoinAll(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  Serve(2, [&](ServerOptions* options) { options->bind = place; });
  ranks.join();
  for (const JoinResult& result : results) EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(RendezvousTest, ANameMayResolveLate) {
  Serve(2);
  const int port = ParseHostPort(address_)->port;
  std::atomic<int> asked{0};
  const auto results = JoinAll([&](int, RendezvousOptions* options) {
    options->coordinator = absl::StrCat("job-0.svc:", port);
    options->insecure = true;  // a name counts as beyond loopback
    options->resolve = [&asked](const std::string& host) -> absl::StatusOr<std::vector<std::string>> {
      EXPECT_EQ(host, "job-0.svc");
      if (++asked < 8) return absl::UnavailableError("does not resolve");
      return std::vector<std::string>{"127.0.0.1"};
    };
  });
  for (const JoinResult& result : results) EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_GE(asked.load(), 8);
}

TEST_F(RendezvousTest, ATokenFileMayComeLate) {
  Serve(2);
  const std::string file = absl::StrCat(::testing::TempDir(), "/late_token");
  std::remove(file.c_str());
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ASSERT_TRUE(token_.WriteTo(file).ok());
  });
  const auto results = JoinAll([&](int, RendezvousOptions* options) {
    options->token = JobToken();
    options->token_file = file;
  });
  writer.join();
  for (const JoinResult& result : results) EXPECT_TRUE(result.ok()) << result.status();
  std::remove(file.c_str());
}

TEST_F(RendezvousTest, WaitingEndsWithWhatWasMissing) {
  Serve(3);
  RendezvousOptions options = Rank(1);
  options.patience = absl::Milliseconds(500);
  const absl::Status alone = RendezvousClient::Join(options).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(alone)) << alone;
  EXPECT_THAT(std::string(alone.message()), HasSubstr("ranks 0, 2 have not joined"));

  options.coordinator = "127.0.0.1:1";
  const absl::Status nobody = RendezvousClient::Join(options).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(nobody)) << nobody;
  EXPECT_THAT(std::string(nobody.message()), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("Is the coordinator")));
}

TEST_F(RendezvousTest, TheFirstErrorIsTheOneEveryRankGets) {
  const Clients clients = Form(3);
  std::promise<std::string> told;
  clients[0]->OnFailure([&](const JobFailure& failure) { told.set_value(failure.message); });
  const JobFailure own = clients[2]->ReportFailure(absl::InternalError("kernel MatMul failed"));
  const JobFailure later = clients[1]->ReportFailure(absl::InternalError("and this failed too"));
  EXPECT_EQ(own.message, "rank 2: kernel MatMul failed");
  EXPECT_EQ(later.message, own.message);
  EXPECT_EQ(told.get_future().get(), own.message);
  EXPECT_EQ(clients[0]->exchange().AllGather("k", "", absl::InfiniteFuture()).status().message(), own.message);
  EXPECT_EQ(clients[0]->Leave().message(), own.message);
  std::promise<int> late;
  clients[1]->OnFailure([&](const JobFailure& failure) { late.set_value(failure.rank); });
  EXPECT_EQ(late.get_future().get(), 2) << "a callback set after the failure is called too";
}

TEST_F(RendezvousTest, AFailureEndsAGatherInProgress) {
  const Clients clients = Form(2);
  auto waiting = std::async(
      std::launch::async, [&] { return clients[0]->exchange().AllGather("key", "", absl::InfiniteFuture()).status(); });
  clients[1]->ReportFailure(absl::ResourceExhaustedError("out of memory"));
  EXPECT_EQ(waiting.get(), absl::ResourceExhaustedError("rank 1: out of memory"));
}

TEST_F(RendezvousTest, ARankThatGoesWithoutLeaveHasDied) {
  Clients clients = Form(3);
  std::promise<JobFailure> told;
  clients[2]->OnFailure([&](const JobFailure& failure) { told.set_value(failure); });
  const auto begun = std::chrono::steady_clock::now();
  clients[1].reset();
  const JobFailure failure = told.get_future().get();
  std::printf("death known after %.1f ms\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
  EXPECT_EQ(failure.kind, JobFailure::Kind::kDied);
  EXPECT_EQ(failure.rank, 1);
  EXPECT_THAT(failure.message, HasSubstr("rank 1 died"));
}

TEST_F(RendezvousTest, AWitnessDoesNotHideTheDead) {
  Clients clients = Form(3);
  // What gloo says in rank 2 may come before the coordinator sees that rank 1 is gone.
  auto witness = std::async(std::launch::async, [&] {
    return clients[2]->ReportFailure(absl::UnavailableError("connection closed by peer"));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  clients[1].reset();
  EXPECT_EQ(witness.get().rank, 1);
}

TEST_F(RendezvousTest, RanksLearnThatTheirCoordinatorDied) {
  Clients clients = Form(2, [](ServerOptions* options) { options->host_rank = 0; });
  std::promise<JobFailure> told;
  clients[1]->OnFailure([&](const JobFailure& failure) { told.set_value(failure); });
  server_.reset();
  const JobFailure failure = told.get_future().get();
  EXPECT_EQ(failure.rank, 0);
  EXPECT_EQ(failure.kind, JobFailure::Kind::kDied);
  EXPECT_THAT(failure.message, HasSubstr("rank 0, whose process is the coordinator"));
}

TEST_F(RendezvousTest, TheOwnerOfTheCoordinatorCanEndTheJob) {
  std::promise<int> owner;
  const Clients clients = Form(2, [&](ServerOptions* options) {
    options->on_failure = [&](const JobFailure& failure) { owner.set_value(failure.rank); };
  });
  server_->Fail({JobFailure::Kind::kDied, 1, absl::StatusCode::kUnavailable, "rank 1 was killed by SIGKILL"});
  EXPECT_EQ(owner.get_future().get(), 1);
  ASSERT_TRUE(Eventually([&] { return clients[0]->failure().has_value(); }));
  EXPECT_EQ(clients[0]->failure()->message, "rank 1 was killed by SIGKILL");
}

TEST_F(RendezvousTest, AHangReportSaysWhereAllStand) {
  const Clients clients = Form(2);
  clients[0]->SetPosition(
      {.instruction = 12, .action = "RECV", .edge = "relu5_grad", .micro_batch = 0, .peer = 1, .peer_instruction = 20});
  clients[1]->SetPosition(
      {.instruction = 9, .action = "RECV", .edge = "relu5", .micro_batch = 3, .peer = 0, .peer_instruction = 8});
  std::string report;
  EXPECT_TRUE(Eventually([&] {
    const absl::StatusOr<std::string> got = clients[1]->HangReport(absl::Seconds(5));
    EXPECT_TRUE(got.ok()) << got.status();
    report = *got;
    return report.find("lost between rank 0 and rank 1") != std::string::npos;
  })) << report;
  EXPECT_THAT(report,
              AllOf(HasSubstr("rank 1 waits for edge relu5 of micro-batch 3 from rank 0"),
                    HasSubstr("\n  rank 0 stands at instruction 12"), HasSubstr("\n  rank 1 stands at instruction 9")));
  EXPECT_THAT(server_->Report(), HasSubstr("rank 1 waits for edge relu5"));
  const JobFailure failure = clients[1]->ReportFailure(absl::DeadlineExceededError("rank 1 waited 30 s"));
  EXPECT_THAT(failure.message, AllOf(HasSubstr("rank 1 waited 30 s\nrank 1 waits for edge relu5"), HasSubstr("lost")));
}

}  // namespace
}  // namespace millrace
