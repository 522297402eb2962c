// Collectives over every communicator. What they must give is added up here in rank order, bit for bit: so all
// transports give the same bits.
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "runtime/comm/collectives.h"
#include "tests/conformance/communicator_test.h"

namespace millrace {
namespace {

constexpr DType kSummed[] = {proto::F32, proto::F64, proto::BF16, proto::F16, proto::I32, proto::I64};

// Element `i` of rank `r`: numbers whose sum depends on the order in every float type.
template <typename T>
T Value(int r, uint64_t i) {
  const double x = static_cast<double>((i * 2654435761u + r * 40503u) % 2001) / 37 - 27;
  if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<int64_t>(x * 1e6));
  return static_cast<T>(static_cast<float>(r % 3 == 1 ? x * 1000 : x));
}

// The elements, and their sum over `ranks` in order: accumulated in `Accumulator`.
template <typename T, typename Accumulator>
struct Numbers {
  static std::vector<char> Of(int r, uint64_t count) {
    std::vector<T> values;
    for (uint64_t i = 0; i < count; ++i) values.push_back(Value<T>(r, i));
    return Bytes(values);
  }
  static std::vector<char> SumOf(const std::vector<int>& ranks, uint64_t count) {
    std::vector<T> values;
    for (uint64_t i = 0; i < count; ++i) {
      Accumulator sum = static_cast<Accumulator>(Value<T>(ranks[0], i));
      for (size_t r = 1; r < ranks.size(); ++r) sum = sum + static_cast<Accumulator>(Value<T>(ranks[r], i));
      values.push_back(static_cast<T>(sum));
    }
    return Bytes(values);
  }
  static std::vector<char> Bytes(const std::vector<T>& values) {
    std::vector<char> bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
};

template <typename Visit>
auto With(DType dtype, Visit visit) {
  switch (dtype) {
    case proto::F64: return visit(Numbers<double, double>());
    case proto::BF16: return visit(Numbers<BFloat16, float>());
    case proto::F16: return visit(Numbers<_Float16, float>());
    case proto::I32: return visit(Numbers<int32_t, int32_t>());
    case proto::I64: return visit(Numbers<int64_t, int64_t>());
    case proto::U8: return visit(Numbers<uint8_t, uint8_t>());
    default: return visit(Numbers<float, float>());
  }
}

std::vector<char> Of(DType dtype, int r, uint64_t count) {
  return With(dtype, [&](auto numbers) { return numbers.Of(r, count); });
}
std::vector<char> SumOf(DType dtype, const std::vector<int>& ranks, uint64_t count) {
  return With(dtype, [&](auto numbers) { return numbers.SumOf(ranks, count); });
}

absl::Status RunCollective(Communicator& comm, Collective collective) {
  const auto collectives = MakeDirectCollectives(&comm);
  std::vector<char> staging(StagingBytes(collective, comm.rank()));
  collective.staging = staging.data();
  absl::StatusOr<Collectives::Ticket> ticket = collectives->Start(collective);
  if (!ticket.ok()) return ticket.status();
  return collectives->Finish(*ticket, TestWaits);
}

std::vector<int> All(const Communicator& comm) {
  std::vector<int> ranks;
  for (int r = 0; r < comm.size(); ++r) ranks.push_back(r);
  return ranks;
}

TEST_P(CommunicatorConformance, SumsAddInRankOrder) {
  Ranks ranks = GetParam().processes == 0 ? Make(4) : Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    uint64_t tag = 0;
    for (DType dtype : kSummed) {
      for (uint64_t count : {0, 1, 3, 4, 1025, 70001}) {
        Collective c;
        c.dtype = dtype;
        c.ranks = All(comm);
        c.count = count;
        c.tag = ++tag;
        const std::vector<char> mine = Of(dtype, comm.rank(), count), want = SumOf(dtype, c.ranks, count);
        std::vector<char> out(mine.size(), 0x55), in_place = mine;
        c.input = mine.data();
        c.output = out.data();
        ASSERT_EQ(RunCollective(comm, c), absl::OkStatus());
        EXPECT_TRUE(out == want) << Name(dtype) << " " << count;
        c.input = c.output = in_place.data();
        ASSERT_EQ(RunCollective(comm, c), absl::OkStatus());
        EXPECT_TRUE(in_place == want) << Name(dtype) << " " << count << " in place";
      }
    }
  });
}

TEST_P(CommunicatorConformance, ReduceScatterThenAllGatherOfUnevenShards) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    for (DType dtype : kSummed) {
      Collective c;
      c.kind = CollectiveKind::kReduceScatter;
      c.dtype = dtype;
      c.ranks = All(comm);
      uint64_t offset = 0;
      for (int r = 0; r < comm.size(); ++r) {
        c.shards.push_back(r == 1 ? 0 : 500 + 77 * r);
        if (r < comm.rank()) offset += c.shards.back() * SizeOf(dtype);
        c.count += c.shards.back();
      }
      std::vector<char> whole = Of(dtype, comm.rank(), c.count);
      c.input = whole.data();
      c.output = whole.data() + offset;
      ASSERT_EQ(RunCollective(comm, c), absl::OkStatus());
      c.kind = CollectiveKind::kAllGather;
      c.input = whole.data() + offset;
      c.output = whole.data();
      ASSERT_EQ(RunCollective(comm, c), absl::OkStatus());
      EXPECT_TRUE(whole == SumOf(dtype, c.ranks, c.count)) << Name(dtype);
    }
  });
}

TEST_P(CommunicatorConformance, BroadcastsFromEveryRootAndEveryType) {
  Ranks ranks = GetParam().processes == 0 ? Make(3) : Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    for (DType dtype : {proto::F32, proto::BF16, proto::I64, proto::U8}) {
      for (int root = 0; root < comm.size(); ++root) {
        Collective c;
        c.kind = CollectiveKind::kBroadcast;
        c.dtype = dtype;
        c.ranks = All(comm);
        c.root = root;
        c.count = 12345;
        const std::vector<char> mine = Of(dtype, comm.rank(), c.count);
        std::vector<char> out(mine.size());
        c.input = mine.data();
        c.output = out.data();
        ASSERT_EQ(RunCollective(comm, c), absl::OkStatus());
        EXPECT_TRUE(out == Of(dtype, root, c.count)) << Name(dtype) << " from " << root;
      }
    }
  });
}

// Two groups at once, several collectives in flight, finished in another order than started.
TEST_P(CommunicatorConformance, CollectivesOverlapInGroups) {
  Ranks ranks = Make(3);
  if (GetParam().processes == 0) ranks = Make(4);
  SKIP_WITHOUT(ranks, 3);
  OnEveryRank(ranks, [&](Communicator& comm) {
    std::vector<int> group;
    for (int r = comm.rank() % 2; r < comm.size(); r += 2) group.push_back(r);
    const auto collectives = MakeDirectCollectives(&comm);
    constexpr int kMany = 5;
    constexpr uint64_t kCount = 30000;
    std::vector<std::vector<char>> memory(kMany), staging(kMany);
    std::vector<Collectives::Ticket> tickets;
    for (int i = 0; i < kMany; ++i) {
      Collective c;
      c.ranks = group;
      c.count = kCount;
      c.tag = 100 + i;
      memory[i] = Of(proto::F32, comm.rank(), kCount);
      staging[i].resize(StagingBytes(c, comm.rank()));
      c.input = c.output = memory[i].data();
      c.staging = staging[i].data();
      absl::StatusOr<Collectives::Ticket> ticket = collectives->Start(c);
      ASSERT_TRUE(ticket.ok());
      tickets.push_back(*ticket);
    }
    // The first by asking alone.
    while (true) {
      absl::StatusOr<bool> done = collectives->Advance(tickets[0]);
      ASSERT_TRUE(done.ok()) << done.status();
      if (*done) break;
    }
    for (int i : {0, 1, 2, 3, 4}) {
      ASSERT_EQ(collectives->Finish(tickets[i], TestWaits), absl::OkStatus());
      EXPECT_TRUE(memory[i] == SumOf(proto::F32, group, kCount)) << i;
    }
  });
}

TEST_P(CommunicatorConformance, RefusesBadCollectives) {
  Ranks ranks = Make(2);
  SKIP_WITHOUT(ranks, 2);
  OnEveryRank(ranks, [&](Communicator& comm) {
    const auto code = [&](auto change) {
      Collective c;
      c.ranks = All(comm);
      c.count = 4;
      change(c);
      std::vector<char> memory(64);
      c.input = c.output = memory.data();
      return RunCollective(comm, c).code();
    };
    EXPECT_EQ(code([](Collective& c) { c.dtype = proto::U8; }), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](Collective& c) { c.dtype = proto::DATA_TYPE_UNSPECIFIED; }), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](Collective& c) { std::swap(c.ranks[0], c.ranks[1]); }), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([&](Collective& c) { c.ranks.erase(c.ranks.begin() + comm.rank()); }),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](Collective& c) { c.shards = {4}; }), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(code([](Collective& c) { c.kind = CollectiveKind::kBroadcast, c.root = 99; }),
              absl::StatusCode::kInvalidArgument);
  });
}

}  // namespace
}  // namespace millrace
