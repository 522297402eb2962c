// Gloo communicators of ranks that are threads of the test.
#ifndef TESTS_RUNTIME_COMM_GLOO_RANKS_H_
#define TESTS_RUNTIME_COMM_GLOO_RANKS_H_

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/gloo/gloo.h"

namespace millrace {

// Connects one rank on each exchange, all at once.
inline std::vector<absl::StatusOr<std::unique_ptr<Communicator>>> ConnectAll(
    const std::vector<std::unique_ptr<Exchange>>& exchanges, const GlooOptions& options) {
  std::vector<absl::StatusOr<std::unique_ptr<Communicator>>> results(exchanges.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < exchanges.size(); ++r) {
    threads.emplace_back([&, r] { results[r] = MakeGlooCommunicator(*exchanges[r], options); });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

inline std::vector<std::unique_ptr<Communicator>> MakeGlooRanks(int size, const CommunicatorOptions& options = {}) {
  GlooOptions gloo;
  gloo.waits = options;
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (auto& rank : ConnectAll(MakeInProcessExchanges(size), gloo)) {
    EXPECT_TRUE(rank.ok()) << rank.status();
    ranks.push_back(rank.ok() ? *std::move(rank) : nullptr);
  }
  return ranks;
}

}  // namespace millrace

#endif  // TESTS_RUNTIME_COMM_GLOO_RANKS_H_
