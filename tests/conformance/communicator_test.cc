#include "tests/conformance/communicator_test.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"

namespace millrace {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CommunicatorConformance);

void CommunicatorConformance::OnEveryRank(const Ranks& ranks, const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  for (const std::unique_ptr<Communicator>& rank : ranks) threads.emplace_back([&] { body(*rank); });
  for (std::thread& thread : threads) thread.join();
}

namespace {

using testing::HasSubstr;

std::string What() { return "the test waits"; }

// What rank `from` sends to rank `to` with `tag`: every byte depends on all of them.
std::vector<uint8_t> Pattern(int from, int to, uint64_t tag, uint64_t bytes) {
  std::vector<uint8_t> out(bytes);
  uint32_t state = static_cast<uint32_t>(from * 7919 + to * 104729 + tag * 31 + 1);
  for (uint8_t& byte : out) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return out;
}

absl::Status PostAndWait(Communicator& comm, const std::vector<Transfer>& group) {
  absl::StatusOr<Communicator::Ticket> ticket = comm.Post(group);
  if (!ticket.ok()) return ticket.status();
  return comm.Wait(*ticket, What);
}

TEST_P(CommunicatorConformance, KnowsItsPlace) {
  Ranks ranks = Make(3);
  ASSERT_EQ(ranks.size(), 3u);
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(ranks[r]->rank(), r);
    EXPECT_EQ(ranks[r]->size(), 3);
  }
}

TEST_P(CommunicatorConformance, MovesEverySize) {
  Ranks ranks = Make(2);
  const std::vector<uint64_t> sizes = {0, 1, 3, 4, 255, 256, 4096, 65537, 1 << 20, 16 << 20};
  OnEveryRank(ranks, [&](Communicator& comm) {
    for (uint64_t tag = 0; tag < sizes.size(); ++tag) {
      const std::vector<uint8_t> want = Pattern(0, 1, tag, sizes[tag]);
      std::vector<uint8_t> memory = comm.rank() == 0 ? want : std::vector<uint8_t>(sizes[tag], 0xee);
      ASSERT_TRUE(PostAndWait(comm, {{comm.rank() == 0, 1 - comm.rank(), tag, memory.data(), sizes[tag]}}).ok());
      EXPECT_EQ(memory, want) << sizes[tag] << " bytes";
    }
  });
}

TEST_P(CommunicatorConformance, GroupsOfManyTransfersBetweenAllRanks) {
  constexpr int kRanks = 4;
  Ranks ranks = Make(kRanks);
  OnEveryRank(ranks, [&](Communicator& comm) {
    const int me = comm.rank();
    for (uint64_t count = 1; count <= 8; ++count) {
      std::vector<std::vector<uint8_t>> memory;
      std::vector<Transfer> group;
      for (int peer = 0; peer < kRanks; ++peer) {
        if (peer == me) continue;
        for (uint64_t t = 0; t < count; ++t) {
          const uint64_t bytes = 100 * t + 17;
          memory.push_back(Pattern(me, peer, t, bytes));
          group.push_back({true, peer, t, memory.back().data(), bytes});
          memory.emplace_back(bytes);
          group.push_back({false, peer, t, memory.back().data(), bytes});
        }
      }
      // Another order on each rank.
      std::rotate(group.begin(), group.begin() + (me * 5) % group.size(), group.end());
      ASSERT_TRUE(PostAndWait(comm, group).ok());
      for (const Transfer& transfer : group) {
        if (transfer.send) continue;
        const std::vector<uint8_t> want = Pattern(transfer.peer, me, transfer.tag, transfer.bytes);
        EXPECT_EQ(std::memcmp(transfer.memory, want.data(), transfer.bytes), 0);
      }
    }
  });
}

TEST_P(CommunicatorConformance, TagsMatchInAnyOrder) {
  Ranks ranks = Make(2);
  constexpr uint64_t kTags = 12;
  OnEveryRank(ranks, [&](Communicator& comm) {
    const bool send = comm.rank() == 0;
    std::vector<uint64_t> memory(kTags);
    std::vector<Communicator::Ticket> tickets;
    for (uint64_t i = 0; i < kTags; ++i) {
      const uint64_t tag = send ? i : (i * 5 + 3) % kTags;  // 5 and 12 share no factor: every tag once
      memory[tag] = send ? tag * tag + 1 : 0;
      absl::StatusOr<Communicator::Ticket> ticket = comm.Post({{send, 1 - comm.rank(), tag << 40, &memory[tag], 8}});
      ASSERT_TRUE(ticket.ok());
      tickets.push_back(*ticket);
    }
    std::reverse(tickets.begin(), tickets.end());
    for (Communicator::Ticket ticket : tickets) ASSERT_TRUE(comm.Wait(ticket, What).ok());
    for (uint64_t tag = 0; tag < kTags; ++tag) EXPECT_EQ(memory[tag], tag * tag + 1);
  });
}

TEST_P(CommunicatorConformance, DoneIsSoonTrueAndDoesNotBlock) {
  Ranks ranks = Make(2);
  std::atomic<bool> asked{false};
  OnEveryRank(ranks, [&](Communicator& comm) {
    uint32_t word = comm.rank() == 0 ? 41 : 0;
    if (comm.rank() == 0) {
      while (!asked.load()) absl::SleepFor(absl::Microseconds(50));
      ASSERT_TRUE(PostAndWait(comm, {{true, 1, 9, &word, 4}}).ok());
      return;
    }
    absl::StatusOr<Communicator::Ticket> ticket = comm.Post({{false, 0, 9, &word, 4}});
    ASSERT_TRUE(ticket.ok());
    EXPECT_FALSE(comm.Done(*ticket));
    asked.store(true);
    while (!comm.Done(*ticket)) std::this_thread::yield();
    EXPECT_EQ(word, 41u);
    EXPECT_TRUE(comm.Wait(*ticket, What).ok());
    EXPECT_TRUE(comm.Done(*ticket));
  });
}

TEST_P(CommunicatorConformance, DifferentByteCountsFailOnBothSides) {
  for (int first = 0; first < 2; ++first) {
    Ranks ranks = Make(2);
    OnEveryRank(ranks, [&](Communicator& comm) {
      char memory[16] = {};
      if (comm.rank() != first) absl::SleepFor(absl::Milliseconds(5));
      absl::Status status = PostAndWait(
          comm, {{comm.rank() == 0, 1 - comm.rank(), 5, memory, static_cast<uint64_t>(comm.rank() == 0 ? 8 : 12)},
                 {comm.rank() == 0, 1 - comm.rank(), 6 + static_cast<uint64_t>(comm.rank()), memory, 4}});
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("8"));
      EXPECT_THAT(std::string(status.message()), HasSubstr("12"));
    });
  }
}

TEST_P(CommunicatorConformance, RefusesBadTransfers) {
  Ranks ranks = Make(2);
  char memory[4] = {};
  for (const Transfer& bad :
       {Transfer{true, 2, 0, memory, 4}, Transfer{true, -1, 0, memory, 4}, Transfer{true, 1, 0, nullptr, 4}}) {
    EXPECT_EQ(PostAndWait(*ranks[0], {bad}).code(), absl::StatusCode::kInvalidArgument);
  }
  const Transfer twice = {true, 1, 7, memory, 4};
  EXPECT_EQ(PostAndWait(*ranks[0], {twice, twice}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ranks[0]->Wait(uint64_t{1} << 20, What).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(CommunicatorConformance, BarrierHoldsEveryRank) {
  constexpr int kRanks = 6;
  Ranks ranks = Make(kRanks);
  std::atomic<int> entered{0};
  OnEveryRank(ranks, [&](Communicator& comm) {
    for (int round = 1; round <= 50; ++round) {
      entered.fetch_add(1);
      ASSERT_TRUE(comm.Barrier().ok());
      EXPECT_GE(entered.load(), round * kRanks);
      ASSERT_TRUE(comm.Barrier().ok());
    }
  });
}

TEST_P(CommunicatorConformance, AllGatherIsInRankOrder) {
  for (int size : {1, 2, 5}) {
    Ranks ranks = Make(size);
    OnEveryRank(ranks, [&](Communicator& comm) {
      for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{280}, uint64_t{70000}}) {
        std::vector<uint8_t> mine = Pattern(comm.rank(), 0, bytes, bytes);
        std::vector<uint8_t> all(bytes * size, 0xee);
        ASSERT_TRUE(comm.AllGather(mine.data(), all.data(), bytes).ok());
        std::fill(mine.begin(), mine.end(), 0);  // what was given may change as soon as the call is over
        for (int r = 0; r < size && bytes > 0; ++r) {
          const std::vector<uint8_t> want = Pattern(r, 0, bytes, bytes);
          EXPECT_EQ(std::memcmp(all.data() + r * bytes, want.data(), bytes), 0) << r;
        }
      }
    });
  }
}

TEST_P(CommunicatorConformance, AllGatherOfDifferentSizesFailsOnEveryRank) {
  Ranks ranks = Make(3);
  OnEveryRank(ranks, [&](Communicator& comm) {
    char mine[8] = {}, all[24];
    absl::Status status = comm.AllGather(mine, all, comm.rank() == 2 ? 4 : 8);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  });
}

TEST_P(CommunicatorConformance, AbortWakesEveryWaitWithTheFirstError) {
  constexpr int kRanks = 5;
  Ranks ranks = Make(kRanks);
  std::thread killer([&] {
    absl::SleepFor(absl::Milliseconds(20));
    ranks[4]->Abort(absl::DataLossError("rank 4 lost its head"));
    ranks[4]->Abort(absl::InternalError("too late"));
  });
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() == 4) return;
    char memory[4] = {};
    absl::Status status = comm.rank() < 2 ? PostAndWait(comm, {{comm.rank() == 0, 4, 1, memory, 4}}) : comm.Barrier();
    EXPECT_EQ(status, absl::DataLossError("rank 4 lost its head"));
    // And for ever after.
    EXPECT_EQ(comm.Barrier(), absl::DataLossError("rank 4 lost its head"));
    EXPECT_EQ(comm.Post({{true, 4, 2, memory, 4}}).status(), absl::DataLossError("rank 4 lost its head"));
  });
  killer.join();
}

// After an error a rank may free what it posted: nobody touches it any more. Address and thread sanitizers look on.
TEST_P(CommunicatorConformance, MemoryIsFreeAfterAnAbort) {
  for (int round = 0; round < 30; ++round) {
    Ranks ranks = Make(2);
    OnEveryRank(ranks, [&](Communicator& comm) {
      for (uint64_t tag = 0;; ++tag) {
        std::vector<char> memory(1 << 16, static_cast<char>(tag));
        if (comm.rank() == 1 && tag == static_cast<uint64_t>(round)) comm.Abort(absl::AbortedError("enough"));
        if (!PostAndWait(comm, {{comm.rank() == 0, 1 - comm.rank(), tag, memory.data(), memory.size()}}).ok()) break;
      }
    });
  }
}

TEST_P(CommunicatorConformance, AWaitEndsAtItsTimeLimitAndSaysWhat) {
  CommunicatorOptions options;
  options.warn_after = absl::Milliseconds(5);
  options.terminate_after = absl::Milliseconds(40);
  Ranks ranks = Make(2, options);
  uint32_t word = 0;
  absl::StatusOr<Communicator::Ticket> ticket = ranks[0]->Post({{false, 1, 3, &word, 4}});
  ASSERT_TRUE(ticket.ok());
  testing::internal::CaptureStderr();
  int described = 0;
  absl::Status status = ranks[0]->Wait(*ticket, [&] {
    ++described;
    return std::string("rank 0 waits for relu5");
  });
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("rank 0 waits for relu5"));
  EXPECT_THAT(warning, HasSubstr("rank 0 waits for relu5"));
  EXPECT_EQ(std::count(warning.begin(), warning.end(), '\n'), 1) << "reported once: " << warning;
  EXPECT_EQ(described, 2);
}

TEST_P(CommunicatorConformance, RanksMayLeaveBeforeTheOthers) {
  Ranks ranks = Make(2);
  uint64_t word = 12, out = 0;
  {
    absl::StatusOr<Communicator::Ticket> ticket = ranks[1]->Post({{false, 0, 0, &out, 8}});
    ASSERT_TRUE(ticket.ok());
    ASSERT_TRUE(PostAndWait(*ranks[0], {{true, 1, 0, &word, 8}}).ok());
    ASSERT_TRUE(ranks[0]->Post({{true, 1, 1, &word, 8}}).ok());  // nobody will take it
    ranks[0].reset();
    EXPECT_TRUE(ranks[1]->Wait(*ticket, What).ok());
  }
  EXPECT_EQ(out, 12u);
}

// A ring that goes on for long, with many more ranks than cores.
TEST_P(CommunicatorConformance, ManyRanksManyRounds) {
  constexpr int kRanks = 24;
  constexpr int kRounds = 200;
  Ranks ranks = Make(kRanks);
  OnEveryRank(ranks, [&](Communicator& comm) {
    const int next = (comm.rank() + 1) % kRanks;
    const int last = (comm.rank() + kRanks - 1) % kRanks;
    uint64_t token = comm.rank(), arriving = 0;
    for (uint64_t round = 0; round < kRounds; ++round) {
      ASSERT_TRUE(PostAndWait(comm, {{true, next, round, &token, 8}, {false, last, round, &arriving, 8}}).ok());
      token = arriving + 1;
    }
    EXPECT_EQ(token, (comm.rank() + kRanks * kRounds - kRounds) % kRanks + kRounds);
  });
}

}  // namespace
}  // namespace millrace
