// A coordinator and ranks that are threads, for tests over real sockets.
#ifndef TESTS_RUNTIME_RENDEZVOUS_JOB_FIXTURE_H_
#define TESTS_RUNTIME_RENDEZVOUS_JOB_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/rendezvous/client.h"
#include "runtime/rendezvous/server.h"

namespace millrace {

using JoinResult = absl::StatusOr<std::unique_ptr<RendezvousClient>>;

class JobFixture : public ::testing::Test {
 protected:
  // Listens at a free port of the loopback.
  void Serve(int size, const std::function<void(ServerOptions*)>& change = nullptr) {
    ServerOptions options;
    options.identity = {"job", "hash", "1.0", size, 0};
    options.token = token_;
    options.roster.silence = absl::Seconds(2);
    if (change) change(&options);
    size_ = size;
    absl::StatusOr<std::unique_ptr<RendezvousServer>> server = RendezvousServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }

  RendezvousOptions Rank(int rank) {
    RendezvousOptions options;
    options.coordinator = address_;
    options.identity = {"job", "hash", "1.0", size_, 0};
    options.rank = rank;
    options.token = token_;
    options.patience = absl::Seconds(20);
    return options;
  }

  // All ranks at once.
  std::vector<JoinResult> JoinAll(const std::function<void(int, RendezvousOptions*)>& change = nullptr) {
    std::vector<JoinResult> results(size_);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size_; ++rank) {
      threads.emplace_back([&, rank] {
        RendezvousOptions options = Rank(rank);
        if (change) change(rank, &options);
        results[rank] = RendezvousClient::Join(options);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }

  // The job with all ranks in it.
  std::vector<std::unique_ptr<RendezvousClient>> Form(int size,
                                                      const std::function<void(ServerOptions*)>& change = nullptr) {
    Serve(size, change);
    std::vector<std::unique_ptr<RendezvousClient>> clients;
    for (JoinResult& result : JoinAll()) {
      EXPECT_TRUE(result.ok()) << result.status();
      if (result.ok()) clients.push_back(*std::move(result));
    }
    return clients;
  }

  // Every rank gathers its number; all must get all numbers.
  static void ExpectTheJobWorks(const std::vector<std::unique_ptr<RendezvousClient>>& clients, const std::string& key) {
    std::vector<std::thread> threads;
    for (const auto& client : clients) {
      threads.emplace_back([&client, &key, size = clients.size()] {
        Exchange& exchange = client->exchange();
        const auto all = exchange.AllGather(key, std::to_string(exchange.rank()), absl::Now() + absl::Seconds(20));
        ASSERT_TRUE(all.ok()) << all.status();
        ASSERT_EQ(all->size(), size);
        for (size_t rank = 0; rank < size; ++rank) EXPECT_EQ((*all)[rank], std::to_string(rank));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // Waits until it is so; false after ten seconds.
  static bool Eventually(const std::function<bool()>& so) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!so()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  const JobToken token_ = JobToken::Random();
  int size_ = 1;
  std::string address_;
  std::unique_ptr<RendezvousServer> server_;
};

}  // namespace millrace

#endif  // TESTS_RUNTIME_RENDEZVOUS_JOB_FIXTURE_H_
