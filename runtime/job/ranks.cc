#include "runtime/job/ranks.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "proto/status_macros.h"
#include "runtime/log/log.h"

namespace millrace {
namespace {

absl::Status WithRank(const absl::Status& status, int rank, int ranks) {
  if (ranks == 1 || absl::StartsWith(status.message(), "rank ")) return status;
  return absl::Status(status.code(), absl::StrCat("rank ", rank, ": ", status.message()));
}

}  // namespace

Ranks::Ranks(const proto::ExecutionPlan& plan, const RanksOptions& options) : seats_(plan.ranks_size()) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  threads_per_rank_ = options.threads > 0 ? options.threads : std::max(1, cores / std::max(1, size()));
  std::vector<std::unique_ptr<Communicator>> communicators = MakeInProcessCommunicators(size(), options.communication);
  for (int rank = 0; rank < size(); ++rank) {
    seats_[rank].rank = rank;
    seats_[rank].communicator = std::move(communicators[rank]);
  }
  for (Seat& seat : seats_) threads_.emplace_back([this, &seat] { Serve(seat); });
}

absl::StatusOr<std::unique_ptr<Ranks>> Ranks::Start(const proto::ExecutionPlan& plan, const RanksOptions& options) {
  if (plan.ranks_size() == 0) return absl::InvalidArgumentError("the plan has no ranks");
  std::unique_ptr<Ranks> ranks(new Ranks(plan, options));
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) { return ranks->Open(plan, options, seat); }));
  return ranks;
}

Ranks::~Ranks() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  commanded_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Ranks::Open(const proto::ExecutionPlan& plan, const RanksOptions& options, Seat& seat) {
  const std::string kind = options.device_kind.empty() ? plan.device_kind() : options.device_kind;
  const DeviceOptions device{.index = 0, .threads = threads_per_rank_};
  MR_ASSIGN_OR_RETURN(seat.device,
                      options.open_device ? options.open_device(kind, seat.rank, device) : OpenDevice(kind, device));
  WorkerOptions worker;
  worker.rank = seat.rank;
  worker.device = seat.device.get();
  worker.communicator = seat.communicator.get();
  worker.seed = options.seed;
  worker.load = [this](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory, uint64_t bytes) {
    return feed_(input, step, micro_batch, memory, bytes);
  };
  MR_ASSIGN_OR_RETURN(seat.worker, Worker::Create(plan, worker));
  return absl::OkStatus();
}

absl::Status Ranks::Each(const std::function<absl::Status(Seat&)>& work) {
  std::unique_lock lock(mutex_);
  if (!first_error_.ok()) return first_error_;
  work_ = &work;
  working_ = size();
  ++command_;
  commanded_.notify_all();
  answered_.wait(lock, [this] { return working_ == 0; });
  work_ = nullptr;
  return first_error_;
}

void Ranks::Serve(Seat& seat) {
  if (size() > 1) SetLogRank(seat.rank);
  uint64_t served = 0;
  while (true) {
    const std::function<absl::Status(Seat&)>* work;
    {
      std::unique_lock lock(mutex_);
      commanded_.wait(lock, [&] { return closing_ || command_ > served; });
      if (closing_) break;
      served = command_;
      work = work_;
    }
    Finished(seat, (*work)(seat));
  }
  // A device may be bound to the thread that opened it.
  seat.worker.reset();
  seat.device.reset();
}

void Ranks::Finished(Seat& seat, const absl::Status& status) {
  absl::Status first;
  {
    std::lock_guard lock(mutex_);
    if (!status.ok() && first_error_.ok()) first = first_error_ = WithRank(status, seat.rank, size());
  }
  // Before this rank counts as finished: the others may be waiting for it inside a call that only an abort ends.
  if (!first.ok()) seat.communicator->Abort(first);
  std::lock_guard lock(mutex_);
  if (--working_ == 0) answered_.notify_one();
}

}  // namespace millrace
