// What must end, and how: disagreement, aborts, time limits, ranks that leave. Never a hang.
#include <algorithm>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/conformance/communicator_test.h"

namespace millrace {
namespace {

using testing::HasSubstr;

TEST_P(CommunicatorConformance, DifferentByteCountsFailOnBothSides) {
  const struct {
    int first;  // who posts first
    uint64_t sent, expected;
  } cases[] = {{0, 8, 12}, {1, 8, 12}, {0, 12, 8}, {1, 12, 8}, {0, 0, 3}, {1, 3, 0}, {0, 1 << 20, 70001}};
  for (const auto& c : cases) {
    Ranks ranks = Make(2);
    SKIP_WITHOUT(ranks, 2);
    OnEveryRank(ranks, [&](Communicator& comm) {
      if (comm.rank() > 1) return;
      const bool send = comm.rank() == 0;
      std::vector<char> memory(1 << 20);
      if (comm.rank() != c.first) absl::SleepFor(absl::Milliseconds(5));
      absl::Status status =
          PostAndWait(comm, {{send, 1 - comm.rank(), 5, memory.data(), send ? c.sent : c.expected},
                             {send, 1 - comm.rank(), 6 + static_cast<uint64_t>(comm.rank()), memory.data(), 4}});
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(c.sent)));
      EXPECT_THAT(std::string(status.message()), HasSubstr(std::to_string(c.expected)));
    });
  }
}

// Where order matters, a wrong one must not move the wrong bytes.
TEST_P(CommunicatorConformance, AnotherOrderFailsOnBothSides) {
  if (!GetParam().in_order) GTEST_SKIP() << GetParam().name << " knows no order";
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    const bool send = comm.rank() == 0;
    char memory[8] = {};
    absl::Status status = PostAndWait(comm, {{send, 1 - comm.rank(), send ? 1u : 2u, memory, 8}});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 sends tag 1"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("expects tag 2"));
  });
}

TEST_P(CommunicatorConformance, AllGatherOfDifferentSizesFailsOnEveryRank) {
  Ranks ranks = Make(3);
  SKIP_WITHOUT(ranks, 3);
  OnEveryRank(ranks, [&](Communicator& comm) {
    char mine[8] = {};
    std::vector<char> all(8 * comm.size());
    absl::Status status = comm.AllGather(mine, all.data(), comm.rank() == 2 ? 4 : 8);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  });
}

// By another thread than the last rank's own; every rank hears of it, whatever it waits for.
TEST_P(CommunicatorConformance, AbortWakesEveryWaitWithTheFirstError) {
  Ranks ranks = GetParam().processes == 0 ? Make(5) : Make(3);
  SKIP_WITHOUT(ranks, 3);
  OnEveryRank(ranks, [&](Communicator& comm) {
    const int last = comm.size() - 1;
    const absl::Time start = absl::Now();
    char memory[4] = {};
    std::thread killer;
    if (comm.rank() == last) {
      killer = std::thread([&] {
        absl::SleepFor(absl::Milliseconds(20));
        comm.Abort(absl::DataLossError("the last rank lost its head"));
        comm.Abort(absl::InternalError("too late"));
      });
    }
    const absl::Status status = comm.rank() == 0      ? PostAndWait(comm, {{true, last, 1, memory, 4}})
                                : comm.rank() == last ? PostAndWait(comm, {{false, 1, 2, memory, 4}})
                                                      : comm.Barrier();
    EXPECT_EQ(status, absl::DataLossError("the last rank lost its head"));
    EXPECT_LT(absl::Now() - start, absl::Seconds(1));
    // And for ever after.
    EXPECT_EQ(comm.Barrier(), absl::DataLossError("the last rank lost its head"));
    EXPECT_EQ(comm.Post({{true, 0, 2, memory, 4}}).status(), absl::DataLossError("the last rank lost its head"));
    EXPECT_TRUE(comm.Done(0));
    if (killer.joinable()) killer.join();
  });
}

// After an error a rank may free what it posted: nobody touches it any more. Address and thread sanitizers look on.
TEST_P(CommunicatorConformance, MemoryIsFreeAfterAnAbort) {
  for (int round = 0; round < 20; ++round) {
    Ranks ranks = Make(2);
    SKIP_WITHOUT(ranks, 2);
    OnEveryRank(ranks, [&](Communicator& comm) {
      if (comm.rank() > 1) return;
      for (uint64_t tag = 0;; ++tag) {
        std::vector<char> memory(1 << (16 + round % 6), static_cast<char>(tag));
        if (comm.rank() == 1 && tag == static_cast<uint64_t>(round)) comm.Abort(absl::AbortedError("enough"));
        if (!PostAndWait(comm, {{comm.rank() == 0, 1 - comm.rank(), tag, memory.data(), memory.size()}}).ok()) break;
      }
    });
  }
}

CommunicatorOptions Impatient() {
  CommunicatorOptions options;
  options.warn_after = absl::Milliseconds(5);
  options.terminate_after = absl::Milliseconds(60);
  return options;
}

TEST_P(CommunicatorConformance, AWaitEndsAtItsTimeLimitAndSaysWhat) {
  Ranks ranks = Make(2, Impatient());
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() != 0) return absl::SleepFor(absl::Milliseconds(300));
    uint32_t word = 0;
    absl::StatusOr<Communicator::Ticket> ticket = comm.Post({{false, 1, 3, &word, 4}});
    ASSERT_TRUE(ticket.ok());
    testing::internal::CaptureStderr();
    int described = 0;
    absl::Status status = comm.Wait(*ticket, [&] {
      ++described;
      return std::string("rank 0 waits for relu5");
    });
    const std::string warning = testing::internal::GetCapturedStderr();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 waits for relu5"));
    EXPECT_THAT(warning, HasSubstr("rank 0 waits for relu5"));
    EXPECT_EQ(std::count(warning.begin(), warning.end(), '\n'), 1) << "reported once: " << warning;
    EXPECT_EQ(described, 2);
  });
}

TEST_P(CommunicatorConformance, CollectivesEndAtTheirTimeLimit) {
  for (bool barrier : {true, false}) {
    Ranks ranks = Make(2, Impatient());
    SKIP_WITHOUT(ranks, 2);
    OnEveryRank(ranks, [&](Communicator& comm) {
      if (comm.rank() != 0) return absl::SleepFor(absl::Milliseconds(300));
      char mine = 1;
      std::vector<char> all(comm.size());
      const absl::Status status = barrier ? comm.Barrier() : comm.AllGather(&mine, all.data(), 1);
      EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("ranks 1"));
    });
  }
}

TEST_P(CommunicatorConformance, ASendEndsAtItsTimeLimit) {
  Ranks ranks = Make(2, Impatient());
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() != 0) return absl::SleepFor(absl::Milliseconds(300));
    std::vector<char> memory(1 << 20);
    EXPECT_EQ(PostAndWait(comm, {{true, 1, 4, memory.data(), memory.size()}}).code(),
              absl::StatusCode::kDeadlineExceeded);
  });
}

TEST_P(CommunicatorConformance, RanksMayLeaveBeforeTheOthers) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    uint64_t out = 12, nobody = 0, in = 0;
    if (comm.rank() == 0) {
      ASSERT_EQ(PostAndWait(comm, {{true, 1, 0, &out, 8}}), absl::OkStatus());
      ASSERT_TRUE(comm.Post({{true, 1, 1, &nobody, 8}}).ok());  // nobody will take it
      ranks[0].reset();
    } else {
      absl::StatusOr<Communicator::Ticket> ticket = comm.Post({{false, 0, 0, &in, 8}});
      ASSERT_TRUE(ticket.ok());
      absl::SleepFor(absl::Milliseconds(50));
      EXPECT_EQ(comm.Wait(*ticket, TestWaits), absl::OkStatus());
      EXPECT_EQ(in, 12u);
    }
  });
}

}  // namespace
}  // namespace millrace
