// Connecting under fire, retries, and peers that are gone.
#include <arpa/inet.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "runtime/comm/gloo/sockets.h"
#include "tests/conformance/communicator_test.h"
#include "tests/runtime/comm/gloo_ranks.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using Values = std::vector<std::string>;

// An exchange whose answers a test may look at and change.
class TappedExchange : public Exchange {
 public:
  using Tap = std::function<void(absl::string_view key, Values*)>;
  TappedExchange(std::unique_ptr<Exchange> inner, Tap tap) : inner_(std::move(inner)), tap_(std::move(tap)) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  absl::StatusOr<Values> AllGather(absl::string_view key, absl::string_view mine, absl::Time deadline) override {
    absl::StatusOr<Values> values = inner_->AllGather(key, mine, deadline);
    if (values.ok()) tap_(key, &*values);
    return values;
  }

 private:
  const std::unique_ptr<Exchange> inner_;
  const Tap tap_;
};

std::vector<std::unique_ptr<Exchange>> Tapped(int size, const std::function<TappedExchange::Tap(int rank)>& tap) {
  auto exchanges = MakeInProcessExchanges(size);
  for (int r = 0; r < size; ++r) exchanges[r] = std::make_unique<TappedExchange>(std::move(exchanges[r]), tap(r));
  return exchanges;
}

// Calls a door and says `bytes`, then hangs up at once or holds the line.
void Pester(const gloo_comm::Door& door, const std::string& bytes, absl::Duration hold) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&door.address), sizeof(sockaddr_in)) == 0) {
    (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    absl::SleepFor(hold);
  }
  ::close(fd);
}

void ExpectToWork(std::vector<absl::StatusOr<std::unique_ptr<Communicator>>>& ranks) {
  std::vector<std::thread> threads;
  for (auto& rank : ranks) {
    ASSERT_TRUE(rank.ok()) << rank.status();
    threads.emplace_back([&rank] {
      for (int i = 0; i < 3; ++i) EXPECT_EQ((*rank)->Barrier(), absl::OkStatus());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Strangers know every port as early as the ranks do, and call while these connect.
TEST(GlooSetup, SurvivesGarbageScansAndSlowCallers) {
  std::string zeros(4096, '\0'), ones(4096, '\x01'), send_to_nowhere(48, '\0');
  send_to_nowhere[8] = 1;  // gloo's "here are bytes for a buffer", of which there is none
  std::string almost(32, 'x');
  std::memcpy(almost.data(), "MRgloo01", 8);
  std::mutex mutex;
  std::vector<std::thread> strangers;
  std::atomic<int> calls{0};
  auto exchanges = Tapped(3, [&](int rank) -> TappedExchange::Tap {
    return [&, rank](absl::string_view key, Values* values) {
      if (rank != 0 || !absl::StrContains(key, "door")) return;
      for (const std::string& value : *values) {
        const auto door = gloo_comm::DecodeDoor(value);
        ASSERT_TRUE(door.ok());
        for (const std::string& bytes : {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), zeros, ones,
                                         send_to_nowhere, almost, std::string("M")}) {
          for (absl::Duration hold : {absl::ZeroDuration(), absl::Milliseconds(300)}) {
            std::lock_guard<std::mutex> lock(mutex);
            strangers.emplace_back([&calls, door = *door, bytes, hold] {
              Pester(door, bytes, hold);
              ++calls;
            });
          }
        }
      }
      absl::SleepFor(absl::Milliseconds(100));  // most of them come before rank 0
    };
  });
  auto ranks = ConnectAll(exchanges, {});
  ExpectToWork(ranks);
  for (std::thread& stranger : strangers) stranger.join();
  EXPECT_EQ(calls.load(), 3 * 7 * 2);
  ExpectToWork(ranks);
}

// In the first attempts a rank is told a wrong door; all drop what they have and try again.
TEST(GlooSetup, TriesAgainOnNewPorts) {
  GlooOptions options;
  options.connect_within = absl::Milliseconds(200);
  auto exchanges = Tapped(3, [](int rank) -> TappedExchange::Tap {
    return [rank, attempt = 0](absl::string_view key, Values* values) mutable {
      if (rank == 2 && absl::StrContains(key, "door") && attempt++ < 2) (*values)[0] = (*values)[1];
    };
  });
  auto ranks = ConnectAll(exchanges, options);
  ExpectToWork(ranks);
}

TEST(GlooSetup, GivesUpAfterFiveRetriesAndSaysWhy) {
  GlooOptions options;
  options.connect_within = absl::Milliseconds(50);
  std::atomic<int> attempts{0};
  auto exchanges = Tapped(2, [&](int rank) -> TappedExchange::Tap {
    return [&attempts, rank](absl::string_view key, Values* values) {
      if (rank != 1 || !absl::StrContains(key, "door")) return;
      ++attempts;
      (*values)[0] = (*values)[1];
    };
  });
  for (const auto& rank : ConnectAll(exchanges, options)) {
    EXPECT_EQ(rank.status().code(), absl::StatusCode::kUnavailable) << rank.status();
    EXPECT_THAT(std::string(rank.status().message()), HasSubstr("rank "));
  }
  EXPECT_EQ(attempts.load(), 6);
}

TEST(GlooSetup, NamesTheRankThatDoesNotAnswer) {
  GlooOptions options;
  options.answer_within = absl::Milliseconds(50);
  auto exchanges = MakeInProcessExchanges(2);
  const auto rank = MakeGlooCommunicator(*exchanges[0], options);
  EXPECT_EQ(rank.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(rank.status().message()), HasSubstr("ranks 1"));
}

TEST(GlooSetup, RefusesAHostThatIsNotHere) {
  GlooOptions options;
  options.interface = "no-such-interface";
  EXPECT_EQ(MakeGlooCommunicator(*MakeInProcessExchanges(1)[0], options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A peer that leaves while others wait for it is named at once, whatever their time limits are.
TEST(GlooSetup, APeerThatIsGoneIsNamed) {
  auto ranks = ConnectAll(MakeInProcessExchanges(3), {});
  for (auto& rank : ranks) ASSERT_TRUE(rank.ok());
  std::thread leaver([&] {
    absl::SleepFor(absl::Milliseconds(50));
    ranks[2]->reset();
  });
  char memory[8];
  const absl::Time start = absl::Now();
  const absl::Status status = PostAndWait(**ranks[0], {{false, 2, 0, memory, 8}});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 2"));
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  leaver.join();
  // And who did not wait for it hears of the failure that it caused.
  EXPECT_THAT(std::string((*ranks[1])->Barrier().message()), HasSubstr("rank 2"));
}

}  // namespace
}  // namespace millrace
