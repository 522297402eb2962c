#include "runtime/profile/link_profile.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "proto/status_macros.h"
#include "runtime/comm/communicator.h"
#include "runtime/profile/samples.h"
#include "runtime/trace/ring.h"

namespace millrace {
namespace {

constexpr int kTransfers = 16;          // of each size
constexpr int kCollectives = 30;        // of each size
constexpr int64_t kComputing = 200000;  // nanoseconds: longer than a waiting rank spins
constexpr uint64_t kMostBytes = uint64_t{64} << 20;

using Communicators = std::vector<std::unique_ptr<Communicator>>;

std::string Waiting() { return "profile: a rank waits for another one"; }

void BusyFor(int64_t nanoseconds) {
  for (const int64_t end = TraceRing::Now() + nanoseconds; TraceRing::Now() < end;) {
  }
}

// Runs `work` on a thread for each rank; the first error of any.
absl::Status OnThreads(const Communicators& ranks, const std::function<absl::Status(Communicator&)>& work) {
  std::vector<absl::Status> statuses(ranks.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ranks.size(); ++r) {
    threads.emplace_back([&, r] {
      statuses[r] = work(*ranks[r]);
      if (!statuses[r].ok()) ranks[r]->Abort(statuses[r]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) MR_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::Status MoveOne(Communicator& rank, bool send, uint64_t tag, std::string* bytes) {
  const Transfer transfer{
      .send = send, .peer = 1 - rank.rank(), .tag = tag, .memory = bytes->data(), .bytes = bytes->size()};
  MR_ASSIGN_OR_RETURN(const Communicator::Ticket ticket, rank.Post({&transfer, 1}));
  return rank.Wait(ticket, Waiting);
}

// Rank 0 computes, then sends; rank 1 waits. From rank 0's post to rank 1's return.
absl::Status TimeTransfers(uint64_t bytes, std::vector<double>* seconds) {
  const Communicators ranks = MakeInProcessCommunicators(2);
  std::vector<int64_t> begins(kTransfers), ends(kTransfers);
  MR_RETURN_IF_ERROR(OnThreads(ranks, [&](Communicator& rank) -> absl::Status {
    std::string memory(bytes, static_cast<char>(rank.rank()));
    for (int i = 0; i < kTransfers; ++i) {
      MR_RETURN_IF_ERROR(rank.Barrier());
      if (rank.rank() == 0) {
        std::memset(memory.data(), i, memory.size());  // as by the kernel that made it
        BusyFor(kComputing);
        begins[i] = TraceRing::Now();
      }
      MR_RETURN_IF_ERROR(MoveOne(rank, rank.rank() == 0, static_cast<uint64_t>(i), &memory));
      if (rank.rank() == 1) ends[i] = TraceRing::Now();
    }
    return absl::OkStatus();
  }));
  // The first ones touch their memory for the first time.
  for (int i = kTransfers / 4; i < kTransfers; ++i) seconds->push_back(1e-9 * static_cast<double>(ends[i] - begins[i]));
  return absl::OkStatus();
}

absl::Status AddCollective(const char* kind, int size, uint64_t bytes,
                           const std::function<absl::Status(Communicator&)>& call, proto::CostTable* table) {
  const Communicators ranks = MakeInProcessCommunicators(size);
  std::vector<std::vector<int64_t>> begins(kCollectives, std::vector<int64_t>(size)), ends = begins;
  MR_RETURN_IF_ERROR(OnThreads(ranks, [&](Communicator& rank) -> absl::Status {
    for (int i = 0; i < kCollectives; ++i) {
      MR_RETURN_IF_ERROR(rank.Barrier());
      if (rank.rank() == 0) BusyFor(kComputing);
      begins[i][rank.rank()] = TraceRing::Now();
      MR_RETURN_IF_ERROR(call(rank));
      ends[i][rank.rank()] = TraceRing::Now();
    }
    return absl::OkStatus();
  }));
  std::vector<double> seconds;
  for (int i = kCollectives / 4; i < kCollectives; ++i) {
    const int64_t last_in = *std::max_element(begins[i].begin(), begins[i].end());
    const int64_t last_out = *std::max_element(ends[i].begin(), ends[i].end());
    seconds.push_back(1e-9 * static_cast<double>(last_out - last_in));
  }
  const Spread spread = SpreadOf(std::move(seconds));
  proto::CollectiveCost& cost = *table->add_collectives();
  cost.set_kind(kind);
  cost.set_ranks(static_cast<uint32_t>(size));
  cost.set_bytes(bytes);
  cost.set_seconds(spread.median);
  cost.set_seconds_spread(spread.range);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureLinks(uint64_t largest, proto::CostTable* table) {
  std::vector<SizedTime> times;
  std::vector<uint64_t> sizes = {64, 65536, 524288, 4194304};
  if (largest > sizes.back()) sizes.push_back(std::min(largest, kMostBytes));
  for (uint64_t bytes : sizes) {
    std::vector<double> seconds;
    MR_RETURN_IF_ERROR(TimeTransfers(bytes, &seconds));
    times.push_back({static_cast<double>(bytes), SpreadOf(std::move(seconds)).median});
  }
  const LineFit fit = FitLine(times);
  proto::LinkCost& link = *table->add_links();
  link.set_from("*");
  link.set_to("*");
  link.set_latency_seconds(fit.latency);
  link.set_bytes_per_second(fit.rate);
  return absl::OkStatus();
}

absl::Status MeasureCollectives(int ranks, proto::CostTable* table) {
  MR_RETURN_IF_ERROR(AddCollective(
      "barrier", ranks, 0, [](Communicator& rank) { return rank.Barrier(); }, table));
  for (const uint64_t bytes : {uint64_t{64}, uint64_t{1024}, uint64_t{65536}}) {
    const auto gather = [&](Communicator& rank) {
      const std::string mine(bytes, 'x');
      std::string all(bytes * static_cast<uint64_t>(rank.size()), '\0');
      return rank.AllGather(mine.data(), all.data(), bytes);
    };
    MR_RETURN_IF_ERROR(AddCollective("all-gather", ranks, bytes, gather, table));
  }
  return absl::OkStatus();
}

double MeasureInstruction() {
  constexpr int kInstructions = 4096;
  TraceRing ring(kInstructions);
  std::vector<double> seconds;
  for (int round = 0; round < 5; ++round) {
    const int64_t begin = TraceRing::Now();
    for (int i = 0; i < kInstructions; ++i) {
      const uint64_t handle = ring.Start(static_cast<uint32_t>(i), TraceRing::Now());
      ring.at(handle).wait = TraceRing::Now() - ring.at(handle).start;
      ring.at(handle).end = TraceRing::Now();
    }
    seconds.push_back(1e-9 * static_cast<double>(TraceRing::Now() - begin) / kInstructions);
  }
  return SpreadOf(std::move(seconds)).median;
}

}  // namespace millrace
