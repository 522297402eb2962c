#include "runtime/comm/faulty.h"

#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/conformance/communicator_test.h"

namespace millrace {
namespace {

using testing::HasSubstr;

// Without a fault that strikes it is a communicator like any other.
INSTANTIATE_TEST_SUITE_P(
    Faulty, CommunicatorConformance,
    testing::Values(CommunicatorBackend{"faulty", [](int size, const CommunicatorOptions& options) {
                                          auto ranks = MakeInProcessCommunicators(size, options);
                                          for (auto& rank : ranks) {
                                            Fault never;
                                            never.nth = 1u << 30;
                                            rank = MakeFaultyCommunicator(std::move(rank), {never});
                                          }
                                          return ranks;
                                        }}));

class FaultyTest : public testing::Test {
 protected:
  // Rank 0 with faults sends three words to rank 1.
  void Send(absl::string_view faults) {
    CommunicatorOptions options;
    options.terminate_after = absl::Milliseconds(200);
    auto ranks = MakeInProcessCommunicators(2, options);
    auto parsed = ParseFaults(faults);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ranks[0] = MakeFaultyCommunicator(std::move(ranks[0]), *parsed);
    const absl::Time start = absl::Now();
    std::vector<std::thread> threads;
    for (int r = 0; r < 2; ++r) {
      threads.emplace_back([&, r] {
        for (uint64_t tag = 0; tag < 3; ++tag) {
          uint64_t word = r == 0 ? tag + 7 : 0;
          status[r].push_back(PostAndWait(*ranks[r], {{r == 0, 1 - r, tag, &word, 8}}));
          got[r].push_back(word);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    took = absl::Now() - start;
  }
  std::vector<absl::Status> status[2];
  std::vector<uint64_t> got[2];
  absl::Duration took;
};

TEST_F(FaultyTest, DropsTheNthOnAnEdge) {
  Send("drop:send:peer=1:nth=2");
  EXPECT_EQ(status[1][0], absl::OkStatus());
  EXPECT_EQ(status[1][1].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status[0][1].code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(status[1][2], absl::OkStatus());
  EXPECT_EQ(got[1][2], 9u);
}

TEST_F(FaultyTest, Delays) {
  Send("delay:send:nth=3:ms=60");
  for (const absl::Status& s : status[1]) EXPECT_EQ(s, absl::OkStatus());
  EXPECT_EQ(got[1][2], 9u);
  EXPECT_GE(took, absl::Milliseconds(60));
}

TEST_F(FaultyTest, CorruptsSizes) {
  Send("wrong-size:send:nth=1");
  for (int r : {0, 1}) EXPECT_EQ(status[r][0].code(), absl::StatusCode::kInvalidArgument);
  for (int r : {0, 1}) EXPECT_EQ(status[r][1], absl::OkStatus());
}

TEST_F(FaultyTest, KillsWaits) {
  Send("kill-wait:nth=2");
  EXPECT_EQ(status[0][0], absl::OkStatus());
  EXPECT_THAT(std::string(status[0][1].message()), HasSubstr("injected"));
  EXPECT_THAT(std::string(status[1][1].message()), HasSubstr("injected"));
}

TEST(ParseFaults, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(ParseFaults("")->size(), 0u);
  EXPECT_EQ(ParseFaults("drop:recv:peer=2:nth=4, delay:ms=5")->size(), 2u);
  for (const char* bad : {"explode", "drop:peer=x", "drop:nth=0", "delay:ms=-1", "drop:both"}) {
    EXPECT_EQ(ParseFaults(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace millrace
