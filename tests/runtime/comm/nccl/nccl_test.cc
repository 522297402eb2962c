// What is NCCL's alone: the order of calls, streams, errors. What all communicators do: conformance_test.cc.
#include "runtime/comm/nccl/nccl.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "runtime/comm/sum.h"
#include "tests/runtime/comm/nccl/fake_ranks.h"

namespace millrace::nccl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Waits() { return "the test waits"; }

NcclGroup Replicas(std::vector<int> ranks) { return {"replicas", std::move(ranks), false, 8}; }
constexpr uint64_t kReplicaTag = uint64_t{3} << 62;

std::vector<std::string> Names(const std::vector<FakeCall>& calls, const std::string& only) {
  std::vector<std::string> names;
  for (const FakeCall& call : calls) {
    if (call.name == only) names.push_back(absl::StrCat(call.comm, " ", call.peer, " ", call.bytes));
  }
  return names;
}

// ---- set-up

TEST(Nccl, AllRanksSplitInTheSameOrder) {
  FakeRanks ranks(4);
  NcclOptions options;
  options.groups = {
      {"0 to 1", {0, 1}, true}, {"2 to 3", {2, 3}, true}, {"1 to 2", {1, 2}, true}, Replicas({0, 1, 2, 3})};
  ranks.OpenWell(options);
  // Round 0 makes the first two groups at once, then one each.
  EXPECT_THAT(Names(ranks.apis[0]->calls(), "Split"), ElementsAre("0 0 0", "0 -1 0", "0 0 0"));
  EXPECT_THAT(Names(ranks.apis[1]->calls(), "Split"), ElementsAre("0 0 0", "0 0 0", "0 0 0"));
  EXPECT_THAT(Names(ranks.apis[3]->calls(), "Split"), ElementsAre("0 1 0", "0 -1 0", "0 0 0"));
  EXPECT_EQ(ranks.communicators[0]->communicators(), 3);
  EXPECT_EQ(ranks.communicators[1]->communicators(), 4);
}

// NCCL would hold up the first step to connect: every pair of ranks of every group has spoken before.
TEST(Nccl, SetUpSpeaksOverEveryConnection) {
  FakeRanks ranks(3);
  NcclOptions options;
  options.groups = {{"0 to 1", {0, 1}, true}, Replicas({0, 1, 2})};
  ranks.OpenWell(options);
  const std::vector<FakeCall> calls = ranks.apis[0]->calls();
  EXPECT_THAT(Names(calls, "Send"), ElementsAre("1 1 16", "2 1 16", "2 2 16"));
  EXPECT_THAT(Names(calls, "Recv"), ElementsAre("2 1 16", "2 2 16"));
  EXPECT_THAT(Names(calls, "AllReduce"), ElementsAre("2 -1 4", "0 -1 4"));
}

TEST(Nccl, OneCommunicatorIsNeverSplit) {
  FakeRanks ranks(3);
  NcclOptions options;
  options.groups = {{"0 to 1", {0, 1}, true}, Replicas({0, 1, 2})};
  options.one_communicator = true;
  ranks.OpenWell(options);
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(ranks.communicators[r]->communicators(), 1);
    EXPECT_THAT(Names(ranks.apis[r]->calls(), "Split"), ElementsAre());
  }
}

TEST(Nccl, DifferentVersionsAreRefusedByName) {
  FakeRanks ranks(2);
  ranks.apis[1]->version = 22105;
  ranks.Open({});
  for (const absl::Status& result : ranks.results) {
    EXPECT_EQ(result.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(result.message()), HasSubstr("22105"));
  }
}

TEST(Nccl, SetUpEndsWhenARankDoesNotCome) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.set_up_within = absl::Milliseconds(50);
  auto controls = MakeInProcessCommunicators(2);
  auto alone = MakeDeviceCommunicator(ranks.apis[0].get(), ranks.exchanges[0].get(), std::move(controls[0]), options);
  ASSERT_TRUE(alone.ok());
  char memory[4] = {};
  EXPECT_EQ((*alone)->Post({{true, 1, 0, memory, 4}}).status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status status = (*alone)->Attach(ranks.devices[0].get());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ranks 1"));
}

TEST(Nccl, BadGroupsAreRefused) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = {{"alone", {1}}};
  ranks.Open(options);
  for (const absl::Status& result : ranks.results) EXPECT_EQ(result.code(), absl::StatusCode::kInvalidArgument);
}

// ---- streams

// A ring of kernels (adding one) and transfers, rank by rank and round by round, that the host only lists.
void RunRing(const NcclOptions& options, absl::Duration delay) {
  constexpr int kSize = 3, kRounds = 20, kFloats = 1000;
  FakeRanks ranks(kSize, delay);
  ranks.OpenWell(options);
  ranks.OnEveryRank([&](int r) {
    NcclCommunicator& comm = *ranks.communicators[r];
    AsyncDevice& device = *ranks.devices[r];
    auto stream = *device.NewStream();
    auto* const queue = static_cast<AsyncStream*>(stream.get());
    Buffer memory = *device.Allocate(2 * kFloats * sizeof(float));
    float* const in = static_cast<float*>(memory.memory());
    float* const out = in + kFloats;
    const int next = (r + 1) % kSize, last = (r + kSize - 1) % kSize;
    for (uint64_t round = 0; round < kRounds; ++round) {
      queue->Put([=] {
        for (int i = 0; i < kFloats; ++i) out[i] = in[i] + static_cast<float>(i);
        return absl::OkStatus();
      });
      auto ticket = comm.PostAfter(*stream, {{true, next, round, out, kFloats * sizeof(float)},
                                             {false, last, round, in, kFloats * sizeof(float)}});
      ASSERT_TRUE(ticket.ok()) << ticket.status();
      ASSERT_EQ(comm.WaitOn(*stream, *ticket, Waits), absl::OkStatus());
    }
    EXPECT_EQ(queue->synchronized(), 0) << "the host waited";
    ASSERT_EQ(stream->Synchronize(), absl::OkStatus());
    for (int i = 0; i < kFloats; ++i) ASSERT_EQ(in[i], static_cast<float>(kRounds * i)) << r;
    EXPECT_EQ(comm.Failure(), absl::OkStatus());
  });
}

TEST(Nccl, TransfersKeepTheOrderOfStreams) {
  NcclOptions options;
  options.groups = AllPairs(3);
  RunRing(options, absl::Microseconds(300));
}

TEST(Nccl, TransfersKeepTheOrderOfStreamsWithOneCommunicator) {
  NcclOptions options;
  options.groups = AllPairs(3);
  options.one_communicator = true;
  RunRing(options, absl::Microseconds(300));
}

TEST(Nccl, UncheckedTransfersRunAlike) {
  NcclOptions options;
  options.groups = AllPairs(3);
  options.checked_transfers = 5;
  RunRing(options, absl::ZeroDuration());
}

// What rank 0 posts for its peers comes to NCCL in the order of posting, in balanced groups, each on the communicator
// of its direction; within a group in an order that both ends find by themselves.
TEST(Nccl, CallsFollowTheListOfTheRank) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = AllPairs(2);
  ranks.OpenWell(options);
  const size_t set_up = ranks.apis[0]->calls().size();
  ranks.OnEveryRank([&](int r) {
    NcclCommunicator& comm = *ranks.communicators[r];
    char memory[64] = {};
    const bool send = r == 0;
    std::vector<Transfer> group = {
        {send, 1 - r, 9, memory, 9}, {!send, 1 - r, 4, memory + 16, 4}, {send, 1 - r, 2, memory + 32, 2}};
    if (r == 1) std::swap(group[0], group[2]);
    for (const std::vector<Transfer>& one : {std::vector<Transfer>{{send, 1 - r, 7, memory, 7}}, group,
                                             std::vector<Transfer>{{send, 1 - r, 1, memory, 1}}}) {
      auto ticket = comm.Post(one);
      ASSERT_TRUE(ticket.ok());
      ASSERT_EQ(comm.Wait(*ticket, Waits), absl::OkStatus());
    }
  });
  std::vector<std::string> listed;
  const std::vector<FakeCall> calls = ranks.apis[0]->calls();
  for (size_t i = set_up; i < calls.size(); ++i)
    listed.push_back(absl::StrCat(calls[i].name, " ", calls[i].comm, " ", calls[i].bytes));
  EXPECT_THAT(listed, ElementsAre("GroupStart -1 0", "Send 1 7", "GroupEnd -1 0",  //
                                  "GroupStart -1 0", "Recv 2 4", "Send 1 2", "Send 1 9", "GroupEnd -1 0",
                                  "GroupStart -1 0", "Send 1 1", "GroupEnd -1 0"));
}

TEST(Nccl, ALaunchInProgressIsWaitedForBeforeItsEvent) {
  FakeRanks ranks(2);
  for (const auto& api : ranks.apis) api->slow_launches = 400;
  NcclOptions options;
  options.groups = AllPairs(2);
  ranks.OpenWell(options);
  ranks.OnEveryRank([&](int r) {
    uint64_t word = r == 0 ? 41 : 0;
    auto ticket = ranks.communicators[r]->Post({{r == 0, 1 - r, 1, &word, 8}});
    ASSERT_TRUE(ticket.ok());
    ASSERT_EQ(ranks.communicators[r]->Wait(*ticket, Waits), absl::OkStatus());
    EXPECT_EQ(word, 41u);
  });
}

// ---- collectives

// Small whole numbers: every order of a sum is exact.
void CheckCollectives(bool ordered) {
  FakeRanks ranks(4);
  NcclOptions options;
  options.groups = {Replicas({0, 2}), Replicas({1, 3})};
  ranks.OpenWell(options);
  ranks.OnEveryRank([&](int r) {
    const NcclCommunicator::SumFn sum = [](Stream& stream, DType dtype, absl::Span<const void* const> operands,
                                           void* out, uint64_t count) {
      static_cast<AsyncStream&>(stream).Put([=, copy = std::vector<const void*>(operands.begin(), operands.end())] {
        SumInOrder(dtype, copy, out, count);
        return absl::OkStatus();
      });
      return absl::OkStatus();
    };
    auto collectives = MakeNcclCollectives(ranks.communicators[r].get(), ordered ? sum : NcclCommunicator::SumFn());
    for (const std::vector<int>& group : {std::vector<int>{r % 2, r % 2 + 2}, std::vector<int>{0, 1, 2, 3}}) {
      for (const std::vector<uint64_t>& shards : {std::vector<uint64_t>(group.size(), 25), std::vector<uint64_t>()}) {
        Collective c;
        c.ranks = group;
        c.tag = kReplicaTag;
        c.count = shards.empty() ? 103 : 25 * group.size();
        c.shards = shards;
        float whole = 0;
        for (int member : group) whole += static_cast<float>(member + 1);
        std::vector<float> input(c.count), output(c.count), staging(c.count);
        const auto run = [&](CollectiveKind kind, const void* from, void* to) {
          c.kind = kind;
          c.input = from;
          c.output = to;
          c.staging = staging.data();
          auto ticket = collectives->Start(c);
          ASSERT_TRUE(ticket.ok()) << ticket.status();
          ASSERT_EQ(collectives->Finish(*ticket, Waits), absl::OkStatus());
        };
        const auto fill = [&] {
          for (size_t i = 0; i < c.count; ++i) input[i] = static_cast<float>(r + 1) * static_cast<float>(i);
        };
        fill();
        run(CollectiveKind::kAllReduce, input.data(), output.data());
        for (size_t i = 0; i < c.count; ++i) ASSERT_EQ(output[i], whole * static_cast<float>(i));

        uint64_t offset = 0;
        const std::vector<uint64_t> cut = shards.empty() ? EvenShards(c.count, static_cast<int>(group.size())) : shards;
        for (size_t m = 0; group[m] != r; ++m) offset += cut[m];
        run(CollectiveKind::kReduceScatter, input.data(), input.data() + offset);
        run(CollectiveKind::kAllGather, input.data() + offset, input.data());
        for (size_t i = 0; i < c.count; ++i) ASSERT_EQ(input[i], whole * static_cast<float>(i));

        fill();
        c.root = group[1];
        run(CollectiveKind::kBroadcast, input.data(), output.data());
        for (size_t i = 0; i < c.count; ++i)
          ASSERT_EQ(output[i], static_cast<float>(c.root + 1) * static_cast<float>(i));
      }
    }
  });
}

TEST(Nccl, CollectivesOfEvenAndUnevenShards) { CheckCollectives(false); }
TEST(Nccl, CollectivesInRankOrder) { CheckCollectives(true); }

TEST(Nccl, AGroupWithoutACommunicatorIsRefused) {
  FakeRanks ranks(3);
  ranks.OpenWell({});
  Collective c;
  c.ranks = {0, 1};
  const absl::Status status = ranks.communicators[0]->Start(c, nullptr).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0 1"));
}

// ---- ends

// The host waits for a stream that waits for a peer that never comes: only the watcher can help.
TEST(Nccl, AWaitOnAStreamEndsAtItsTimeLimit) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = AllPairs(2);
  options.waits.warn_after = absl::Milliseconds(20);
  options.waits.terminate_after = absl::Milliseconds(100);
  ranks.OpenWell(options);
  auto stream = *ranks.devices[0]->NewStream();
  char memory[4] = {};
  auto ticket = ranks.communicators[0]->PostAfter(*stream, {{false, 1, 0x77, memory, 4}});
  ASSERT_TRUE(ticket.ok());
  testing::internal::CaptureStderr();
  ASSERT_EQ(ranks.communicators[0]->WaitOn(*stream, *ticket, Waits), absl::OkStatus());
  ASSERT_EQ(stream->Synchronize(), absl::OkStatus());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("receives 4 bytes from rank 1 with tag 77"));
  EXPECT_EQ(ranks.communicators[0]->Failure().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ranks.communicators[1]->Failure().code(), absl::StatusCode::kDeadlineExceeded);  // the others hear of it
  EXPECT_EQ(ranks.communicators[0]->Post({}).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(Nccl, AnAbortElsewhereFreesAStream) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = AllPairs(2);
  ranks.OpenWell(options);
  auto stream = *ranks.devices[0]->NewStream();
  char memory[4] = {};
  auto ticket = ranks.communicators[0]->PostAfter(*stream, {{false, 1, 1, memory, 4}});
  ASSERT_TRUE(ticket.ok());
  ASSERT_EQ(ranks.communicators[0]->WaitOn(*stream, *ticket, Waits), absl::OkStatus());
  const absl::Time start = absl::Now();
  ranks.communicators[1]->Abort(absl::DataLossError("rank 1 lost its head"));
  ASSERT_EQ(stream->Synchronize(), absl::OkStatus());
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
  EXPECT_EQ(ranks.communicators[0]->Wait(*ticket, Waits), absl::DataLossError("rank 1 lost its head"));
}

// Children before the parent whose channels they share.
TEST(Nccl, AnErrorThatNcclNoticesAbortsAllCommunicators) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = AllPairs(2);
  ranks.OpenWell(options);
  char memory[4] = {};
  auto ticket = ranks.communicators[0]->Post({{false, 1, 1, memory, 4}});
  ASSERT_TRUE(ticket.ok());
  ranks.apis[0]->InjectError(Code::kRemoteError);
  const absl::Status status = ranks.communicators[0]->Wait(*ticket, Waits);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fake error 6"));
  EXPECT_THAT(Names(ranks.apis[0]->calls(), "Abort"), ElementsAre("2 -1 0", "1 -1 0", "0 -1 0"));
}

TEST(Nccl, LeavesInGoodOrder) {
  FakeRanks ranks(2);
  NcclOptions options;
  options.groups = AllPairs(2);
  ranks.OpenWell(options);
  char arena[256] = {};
  ASSERT_EQ(ranks.communicators[0]->Register(arena, sizeof(arena)), absl::OkStatus());
  ranks.OnEveryRank([&](int r) { ranks.communicators[r].reset(); });
  const std::vector<FakeCall> calls = ranks.apis[0]->calls();
  EXPECT_THAT(Names(calls, "Register"), ElementsAre("0 -1 256", "1 -1 256", "2 -1 256"));
  EXPECT_EQ(Names(calls, "Deregister").size(), 3);
  EXPECT_THAT(Names(calls, "Destroy"), ElementsAre("2 -1 0", "1 -1 0", "0 -1 0"));
  EXPECT_THAT(Names(calls, "Abort"), ElementsAre());
}

}  // namespace
}  // namespace millrace::nccl
