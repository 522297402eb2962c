#include "runtime/profile/rank_group.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/trace/ring.h"

namespace millrace {
namespace {

constexpr int kLeastRounds = 2;
constexpr int kMostRounds = 200;

double Now() { return 1e-9 * static_cast<double>(TraceRing::Now()); }

void Append(const CallTimes& from, CallTimes* to) {
  to->resize(from.size());
  for (size_t c = 0; c < from.size(); ++c) (*to)[c].insert((*to)[c].end(), from[c].begin(), from[c].end());
}

class Group {
 public:
  Group(const proto::ExecutionPlan& plan, const CallTable& table, const std::vector<int>& ranks, double alone_seconds,
        double shared_seconds, const OpenRankFn& open)
      : plan_(plan),
        table_(table),
        ranks_(ranks),
        alone_seconds_(alone_seconds),
        shared_seconds_(shared_seconds),
        open_(open),
        working_(static_cast<int>(ranks.size())) {}

  absl::StatusOr<GroupTimes> Measure() {
    std::vector<std::thread> threads;
    for (size_t seat = 0; seat < ranks_.size(); ++seat) {
      threads.emplace_back([this, seat] { Serve(static_cast<int>(seat)); });
    }
    for (std::thread& thread : threads) thread.join();
    if (!error_.ok()) return error_;
    return std::move(result_);
  }

 private:
  // Turn t < ranks belongs to seat t alone, the next one to all.
  void Serve(int seat) {
    std::unique_ptr<Device> device;  // outlives the replay
    std::unique_ptr<Replay> replay;
    CallTimes alone(table_.calls().size()), shared(table_.calls().size());
    AwaitTurn(seat);
    if (!failed_) Note(seat, MeasureAlone(ranks_[seat], &device, &replay, &alone));
    NextTurn();
    AwaitTurn(static_cast<int>(ranks_.size()));
    if (!failed_ && ranks_.size() > 1) Note(seat, MeasureShared(replay.get(), &shared));
    std::lock_guard lock(mutex_);
    Append(alone, &result_.alone);
    if (ranks_.size() > 1) Append(shared, &result_.shared);
    result_.needs.resize(table_.calls().size());
    for (int call : table_.OfRank(ranks_[seat])) {
      if (replay != nullptr) result_.needs[call] = replay->needs()[call];
    }
  }

  absl::Status MeasureAlone(int rank, std::unique_ptr<Device>* device, std::unique_ptr<Replay>* replay,
                            CallTimes* times) {
    MR_ASSIGN_OR_RETURN(*device, open_(rank));
    MR_ASSIGN_OR_RETURN(*replay, Replay::Make(plan_, table_, rank, device->get()));
    MR_RETURN_IF_ERROR((*replay)->Round(nullptr));
    const double end = Now() + alone_seconds_;
    for (int round = 0; round < kLeastRounds || (Now() < end && round < kMostRounds); ++round) {
      MR_RETURN_IF_ERROR((*replay)->Round(times));
    }
    return absl::OkStatus();
  }

  absl::Status MeasureShared(Replay* replay, CallTimes* times) {
    const double end = Now() + shared_seconds_;
    bool finished = false;
    for (int round = 1; !failed_ && working_ > 0; ++round) {
      MR_RETURN_IF_ERROR(replay->Round(times));
      if (finished || round < kLeastRounds || (Now() < end && round < kMostRounds)) continue;
      finished = true;
      --working_;
    }
    return absl::OkStatus();
  }

  void AwaitTurn(int turn) {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return turn_ >= turn; });
  }
  void NextTurn() {
    std::lock_guard lock(mutex_);
    ++turn_;
    turned_.notify_all();
  }
  void Note(int seat, const absl::Status& status) {
    if (status.ok()) return;
    std::lock_guard lock(mutex_);
    failed_ = true;
    if (!error_.ok()) return;
    error_ = absl::Status(status.code(), absl::StrCat("profiling rank ", ranks_[seat], ": ", status.message()));
  }

  const proto::ExecutionPlan& plan_;
  const CallTable& table_;
  const std::vector<int>& ranks_;
  const double alone_seconds_, shared_seconds_;
  const OpenRankFn& open_;
  std::mutex mutex_;
  std::condition_variable turned_;
  int turn_ = 0;
  std::atomic<int> working_;  // ranks that have not done their shared rounds
  std::atomic<bool> failed_{false};
  absl::Status error_;
  GroupTimes result_;
};

}  // namespace

absl::StatusOr<GroupTimes> MeasureGroup(const proto::ExecutionPlan& plan, const CallTable& table,
                                        const std::vector<int>& ranks, double alone_seconds, double shared_seconds,
                                        const OpenRankFn& open) {
  return Group(plan, table, ranks, alone_seconds, shared_seconds, open).Measure();
}

}  // namespace millrace
