// Transfers. What must end, and how: communicator_end_test.cc.
#include "tests/conformance/communicator_test.h"

#include <algorithm>
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

CommunicatorConformance::Ranks CommunicatorConformance::Make(int size, const CommunicatorOptions& options) {
  const int processes = GetParam().processes;
  if (processes > 0 && processes < size) return {};
  return GetParam().make(processes > 0 ? processes : size, options);
}

void CommunicatorConformance::OnEveryRank(const Ranks& ranks, const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  for (const std::unique_ptr<Communicator>& rank : ranks) {
    if (rank != nullptr) threads.emplace_back([&body, communicator = rank.get()] { body(*communicator); });
  }
  for (std::thread& thread : threads) thread.join();
}

std::string TestWaits() { return "the test waits"; }

absl::Status PostAndWait(Communicator& comm, const std::vector<Transfer>& group) {
  absl::StatusOr<Communicator::Ticket> ticket = comm.Post(group);
  if (!ticket.ok()) return ticket.status();
  return comm.Wait(*ticket, TestWaits);
}

namespace {

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

TEST_P(CommunicatorConformance, KnowsItsPlace) {
  Ranks ranks = Make(3);
  SKIP_WITHOUT(ranks, 3);
  for (size_t r = 0; r < ranks.size(); ++r) {
    if (ranks[r] == nullptr) continue;
    EXPECT_EQ(ranks[r]->rank(), r);
    EXPECT_EQ(ranks[r]->size(), ranks.size());
  }
}

TEST_P(CommunicatorConformance, MovesEverySize) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  const std::vector<uint64_t> sizes = {0, 1, 3, 4, 255, 256, 4096, 65537, 1 << 20, 16 << 20, 64 << 20};
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    for (uint64_t tag = 0; tag < sizes.size(); ++tag) {
      const std::vector<uint8_t> want = Pattern(0, 1, tag, sizes[tag]);
      std::vector<uint8_t> memory = comm.rank() == 0 ? want : std::vector<uint8_t>(sizes[tag], 0xee);
      ASSERT_EQ(PostAndWait(comm, {{comm.rank() == 0, 1 - comm.rank(), tag, memory.data(), sizes[tag]}}),
                absl::OkStatus());
      EXPECT_TRUE(memory == want) << sizes[tag] << " bytes";
    }
  });
}

TEST_P(CommunicatorConformance, GroupsOfManyTransfersBetweenAllRanks) {
  Ranks ranks = Make(2);
  if (GetParam().processes == 0) ranks = Make(4);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    const int me = comm.rank();
    for (uint64_t count = 1; count <= 8; ++count) {
      std::vector<std::vector<uint8_t>> memory;
      std::vector<Transfer> group;
      for (int peer = 0; peer < comm.size(); ++peer) {
        if (peer == me) continue;
        for (uint64_t t = 0; t < count; ++t) {
          const uint64_t bytes = 100 * t * t * t + 17;
          memory.push_back(Pattern(me, peer, t, bytes));
          group.push_back({true, peer, t, memory.back().data(), bytes});
          memory.emplace_back(bytes);
          group.push_back({false, peer, t, memory.back().data(), bytes});
        }
      }
      // Another order on each rank.
      std::rotate(group.begin(), group.begin() + (me * 5) % group.size(), group.end());
      ASSERT_EQ(PostAndWait(comm, group), absl::OkStatus());
      for (const Transfer& transfer : group) {
        if (transfer.send) continue;
        const std::vector<uint8_t> want = Pattern(transfer.peer, me, transfer.tag, transfer.bytes);
        EXPECT_EQ(std::memcmp(transfer.memory, want.data(), transfer.bytes), 0);
      }
    }
  });
}

TEST_P(CommunicatorConformance, TagsMatchInAnyOrder) {
  if (GetParam().in_order) GTEST_SKIP() << GetParam().name << " moves transfers in the order of posting";
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  constexpr uint64_t kTags = 12;
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
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
    for (Communicator::Ticket ticket : tickets) ASSERT_EQ(comm.Wait(ticket, TestWaits), absl::OkStatus());
    for (uint64_t tag = 0; tag < kTags; ++tag) EXPECT_EQ(memory[tag], tag * tag + 1);
  });
}

// A transfer that nobody takes yet holds up no other one between the same ranks.
TEST_P(CommunicatorConformance, EdgesShareNoOrder) {
  if (GetParam().in_order) GTEST_SKIP() << GetParam().name << " moves transfers in the order of posting";
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    const bool send = comm.rank() == 0;
    const int peer = 1 - comm.rank();
    const std::vector<uint8_t> big = Pattern(0, 1, 1, 4 << 20), small = Pattern(0, 1, 2, 100);
    std::vector<uint8_t> first = send ? big : std::vector<uint8_t>(big.size());
    std::vector<uint8_t> second = send ? small : std::vector<uint8_t>(small.size());
    if (send) {
      absl::StatusOr<Communicator::Ticket> waiting = comm.Post({{send, peer, 1, first.data(), first.size()}});
      ASSERT_TRUE(waiting.ok());
      ASSERT_EQ(PostAndWait(comm, {{send, peer, 2, second.data(), second.size()}}), absl::OkStatus());
      ASSERT_EQ(comm.Wait(*waiting, TestWaits), absl::OkStatus());
    } else {
      ASSERT_EQ(PostAndWait(comm, {{send, peer, 2, second.data(), second.size()}}), absl::OkStatus());
      ASSERT_EQ(PostAndWait(comm, {{send, peer, 1, first.data(), first.size()}}), absl::OkStatus());
    }
    EXPECT_TRUE(first == big);
    EXPECT_TRUE(second == small);
  });
}

// One tag used again and again, with another byte count each time, as the micro-batches of several programs do.
TEST_P(CommunicatorConformance, ATagServesManyTimes) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    for (int round = 0; round < 200; ++round) {
      const uint64_t bytes = (round % 7) * 9000;
      const std::vector<uint8_t> want = Pattern(0, 1, round, bytes);
      std::vector<uint8_t> memory = comm.rank() == 0 ? want : std::vector<uint8_t>(bytes);
      ASSERT_EQ(PostAndWait(comm, {{comm.rank() == 0, 1 - comm.rank(), ~uint64_t{0}, memory.data(), bytes}}),
                absl::OkStatus());
      EXPECT_TRUE(memory == want) << round;
    }
  });
}

TEST_P(CommunicatorConformance, BothDirectionsAtOnce) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() > 1) return;
    const int me = comm.rank(), peer = 1 - me;
    std::vector<uint8_t> out = Pattern(me, peer, 3, 24 << 20), in(out.size());
    ASSERT_EQ(PostAndWait(comm, {{true, peer, 3, out.data(), out.size()}, {false, peer, 3, in.data(), in.size()}}),
              absl::OkStatus());
    EXPECT_TRUE(in == Pattern(peer, me, 3, in.size()));
  });
}

TEST_P(CommunicatorConformance, DoneIsSoonTrueAndDoesNotBlock) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    uint32_t word = comm.rank() == 0 ? 41 : 0;
    if (comm.rank() == 0) {
      ASSERT_EQ(PostAndWait(comm, {{false, 1, 8, nullptr, 0}}), absl::OkStatus());
      ASSERT_EQ(PostAndWait(comm, {{true, 1, 9, &word, 4}}), absl::OkStatus());
    } else if (comm.rank() == 1) {
      absl::StatusOr<Communicator::Ticket> ticket = comm.Post({{false, 0, 9, &word, 4}});
      ASSERT_TRUE(ticket.ok());
      EXPECT_FALSE(comm.Done(*ticket));
      ASSERT_EQ(PostAndWait(comm, {{true, 0, 8, nullptr, 0}}), absl::OkStatus());
      while (!comm.Done(*ticket)) std::this_thread::yield();
      EXPECT_EQ(word, 41u);
      EXPECT_EQ(comm.Wait(*ticket, TestWaits), absl::OkStatus());
      EXPECT_TRUE(comm.Done(*ticket));
    }
  });
}

TEST_P(CommunicatorConformance, RefusesBadTransfers) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    if (comm.rank() != 0) return;
    char memory[4] = {};
    for (const Transfer& bad : {Transfer{true, comm.size(), 0, memory, 4}, Transfer{true, -1, 0, memory, 4},
                                Transfer{true, 1, 0, nullptr, 4}}) {
      EXPECT_EQ(PostAndWait(comm, {bad}).code(), absl::StatusCode::kInvalidArgument);
    }
    EXPECT_EQ(comm.Wait(uint64_t{1} << 20, TestWaits).code(), absl::StatusCode::kInvalidArgument);
    const Transfer twice = {true, 1, 7, memory, 4};
    EXPECT_EQ(PostAndWait(comm, {twice, twice}).code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST_P(CommunicatorConformance, BarrierHoldsEveryRank) {
  Ranks ranks = GetParam().processes == 0 ? Make(6) : Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    for (int round = 1; round <= 30; ++round) {
      if (round % comm.size() == comm.rank()) absl::SleepFor(absl::Milliseconds(2));
      // The monotonic clock is the same for all processes of a machine.
      const int64_t entered = std::chrono::steady_clock::now().time_since_epoch().count();
      ASSERT_EQ(comm.Barrier(), absl::OkStatus());
      const int64_t left = std::chrono::steady_clock::now().time_since_epoch().count();
      std::vector<int64_t> all(comm.size());
      ASSERT_EQ(comm.AllGather(&entered, all.data(), sizeof(entered)), absl::OkStatus());
      EXPECT_GE(left, *std::max_element(all.begin(), all.end()));
    }
  });
}

TEST_P(CommunicatorConformance, AllGatherIsInRankOrder) {
  for (int size : {1, 2, 5}) {
    if (GetParam().processes > 0 && size != 2) continue;
    Ranks ranks = Make(size);
    SKIP_WITHOUT(ranks, size);
    OnEveryRank(ranks, [&](Communicator& comm) {
      for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{280}, uint64_t{504}, uint64_t{505}, uint64_t{70000}}) {
        std::vector<uint8_t> mine = Pattern(comm.rank(), 0, bytes, bytes);
        std::vector<uint8_t> all(bytes * comm.size(), 0xee);
        ASSERT_EQ(comm.AllGather(mine.data(), all.data(), bytes), absl::OkStatus());
        std::fill(mine.begin(), mine.end(), 0);  // what was given may change as soon as the call is over
        for (int r = 0; r < comm.size() && bytes > 0; ++r) {
          const std::vector<uint8_t> want = Pattern(r, 0, bytes, bytes);
          EXPECT_EQ(std::memcmp(all.data() + r * bytes, want.data(), bytes), 0) << r;
        }
      }
    });
  }
}

// A ring that goes on for long, with many more ranks than cores.
TEST_P(CommunicatorConformance, ManyRanksManyRounds) {
  Ranks ranks = GetParam().processes == 0 ? Make(24) : Make(2);
  SKIP_WITHOUT(ranks, 2);
  constexpr int kRounds = 200;
  OnEveryRank(ranks, [&](Communicator& comm) {
    const int size = comm.size(), next = (comm.rank() + 1) % size, last = (comm.rank() + size - 1) % size;
    uint64_t token = comm.rank(), arriving = 0;
    for (uint64_t round = 0; round < kRounds; ++round) {
      ASSERT_EQ(PostAndWait(comm, {{true, next, round, &token, 8}, {false, last, round, &arriving, 8}}),
                absl::OkStatus());
      token = arriving + 1;
    }
    EXPECT_EQ(token, (comm.rank() + size * kRounds - kRounds) % size + kRounds);
  });
}

}  // namespace
}  // namespace millrace
