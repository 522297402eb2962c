#include "runtime/job/ranks.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "kernels/cores.h"
#include "proto/status_macros.h"
#include "runtime/job/rank_faults.h"
#include "runtime/log/log.h"
#include "runtime/plan/device_options.h"

namespace millrace {
namespace {

absl::Status WithRank(const absl::Status& status, int rank, int ranks) {
  if (ranks == 1 || absl::StartsWith(status.message(), "rank ")) return status;
  return absl::Status(status.code(), absl::StrCat("rank ", rank, ": ", status.message()));
}

absl::StatusOr<std::vector<int>> RanksHere(const std::vector<int>& asked, int ranks) {
  if (ranks == 0) return absl::InvalidArgumentError("the plan has no ranks");
  std::vector<int> here = asked;
  if (here.empty()) {
    here.resize(ranks);
    std::iota(here.begin(), here.end(), 0);
  }
  for (size_t i = 0; i < here.size(); ++i) {
    if (here[i] < 0 || here[i] >= ranks || (i > 0 && here[i] <= here[i - 1])) {
      return absl::InvalidArgumentError(absl::StrCat("this process is to run rank ", here[i], ", but the plan has ",
                                                     ranks, " ranks, from 0, each of which runs once; start ", ranks,
                                                     " processes, or make a plan for as many as there are"));
    }
  }
  return here;
}

// Communicators of threads, handed out by rank.
MakeCommunicatorFn InProcess(int ranks, const CommunicatorOptions& options) {
  auto made = std::make_shared<std::vector<std::unique_ptr<Communicator>>>(MakeInProcessCommunicators(ranks, options));
  return [made](int rank) -> absl::StatusOr<std::shared_ptr<Communicator>> { return std::move((*made)[rank]); };
}

}  // namespace

Ranks::Ranks(const proto::ExecutionPlan& plan, const RanksOptions& options, std::vector<int> here)
    : plan_(plan), options_(options), here_(std::move(here)), position_(plan.ranks_size(), -1), seats_(here_.size()) {
  const int cores = FindAllowedCores("").cores;
  const int sharing = std::max({1, options.on_this_host, static_cast<int>(here_.size())});
  threads_per_rank_ = options.threads > 0 ? options.threads : std::max(1, cores / sharing);
  if (!options_.make_communicator) options_.make_communicator = InProcess(size(), options.communication);
  for (size_t i = 0; i < here_.size(); ++i) {
    seats_[i].rank = here_[i];
    position_[here_[i]] = static_cast<int>(i);
  }
  for (Seat& seat : seats_) threads_.emplace_back([this, &seat] { Serve(seat); });
}

absl::StatusOr<std::unique_ptr<Ranks>> Ranks::Connect(const proto::ExecutionPlan& plan, const RanksOptions& options) {
  MR_ASSIGN_OR_RETURN(std::vector<int> here, RanksHere(options.here, plan.ranks_size()));
  if (!options.make_communicator && static_cast<int>(here.size()) != plan.ranks_size()) {
    return absl::InvalidArgumentError(absl::StrCat("only ", here.size(), " of the plan's ", plan.ranks_size(),
                                                   " ranks are in this process, and nothing connects it to others"));
  }
  std::unique_ptr<Ranks> ranks(new Ranks(plan, options, std::move(here)));
  MR_RETURN_IF_ERROR(ranks->PlanFaults());
  MR_RETURN_IF_ERROR(ranks->Each([&](Seat& seat) { return ranks->ConnectSeat(seat); }));
  ranks->connected_ = true;
  MR_RETURN_IF_ERROR(ranks->FindProcesses());
  return ranks;
}

absl::StatusOr<std::unique_ptr<Ranks>> Ranks::Start(const proto::ExecutionPlan& plan, const RanksOptions& options) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Ranks> ranks, Connect(plan, options));
  MR_RETURN_IF_ERROR(ranks->Open());
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

absl::Status Ranks::PlanFaults() {
  for (Seat& seat : seats_) {
    MR_ASSIGN_OR_RETURN(RankFaults faults, ParseRankFaults(options_.faults, seat.rank));
    seat.whereabouts = std::make_unique<Whereabouts>(plan_, seat.rank, std::move(faults.points));
    seat.lost_messages = std::move(faults.transfers);
  }
  return absl::OkStatus();
}

absl::Status Ranks::ConnectSeat(Seat& seat) {
  seat.whereabouts->Pass("JOIN");
  MR_ASSIGN_OR_RETURN(seat.communicator, options_.make_communicator(seat.rank));
  if (options_.make_stand) seat.whereabouts->TellTo(options_.make_stand(seat.rank));
  if (!seat.lost_messages.empty()) {
    seat.communicator = MakeFaultyCommunicator(std::move(seat.communicator), seat.lost_messages);
  }
  if (!seat.whereabouts->idle()) {
    seat.communicator = MakeNotingCommunicator(std::move(seat.communicator), seat.whereabouts.get());
  }
  seat.whereabouts->Between("joining");
  seat.whereabouts->Pass("JOINED");
  if (seat.communicator->rank() == seat.rank && seat.communicator->size() == size()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "it was connected as rank ", seat.communicator->rank(), " of ", seat.communicator->size(), ", but the plan has ",
      size(), " ranks; start ", size(), " processes, or make a plan for ", seat.communicator->size()));
}

absl::Status Ranks::FindProcesses() {
  process_of_.assign(size(), 0);
  if (!all_here()) {
    MR_RETURN_IF_ERROR(Each([&](Seat& seat) -> absl::Status {
      std::vector<int> all(size());
      MR_RETURN_IF_ERROR(seat.communicator->AllGather(&here_[0], all.data(), sizeof(int)));
      if (seat.rank == here_[0]) process_of_ = all;
      return absl::OkStatus();
    }));
  }
  for (int rank = 0; rank < size(); ++rank) {
    if (process_of_[rank] == rank) processes_.push_back(rank);
    if (process_of_[rank] >= 0 && process_of_[rank] <= rank && process_of_[process_of_[rank]] == process_of_[rank]) {
      continue;
    }
    return absl::InternalError(
        absl::StrCat("rank ", rank, " says that rank ", process_of_[rank], " speaks for its process, which cannot be"));
  }
  return absl::OkStatus();
}

absl::Status Ranks::Open() {
  return Each([this](Seat& seat) { return OpenSeat(seat); });
}

absl::Status Ranks::OpenSeat(Seat& seat) {
  const std::string kind = options_.device_kind.empty() ? plan_.device_kind() : options_.device_kind;
  const int index = (options_.local_rank + position_[seat.rank]) % std::max(1, DeviceCount(kind));
  DeviceOptions device = DeviceOptionsOf(plan_.device_settings());
  device.index = index;
  device.threads = threads_per_rank_;
  MR_ASSIGN_OR_RETURN(seat.device,
                      options_.open_device ? options_.open_device(kind, seat.rank, device) : OpenDevice(kind, device));
  MR_RETURN_IF_ERROR(seat.communicator->Attach(seat.device.get()));
  WorkerOptions worker;
  worker.rank = seat.rank;
  worker.device = seat.device.get();
  worker.communicator = seat.communicator.get();
  worker.seed = options_.seed;
  worker.stand = seat.whereabouts->stand();
  worker.load = [this](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory, uint64_t bytes) {
    return feed_(input, step, micro_batch, memory, bytes);
  };
  MR_ASSIGN_OR_RETURN(seat.worker, Worker::Create(plan_, worker));
  return absl::OkStatus();
}

absl::Status Ranks::Each(const std::function<absl::Status(Seat&)>& work) {
  std::unique_lock lock(mutex_);
  if (!first_error_.ok()) return first_error_;
  work_ = &work;
  working_ = static_cast<int>(seats_.size());
  ++command_;
  commanded_.notify_all();
  answered_.wait(lock, [this] { return working_ == 0; });
  work_ = nullptr;
  return first_error_;
}

void Ranks::Abort(const absl::Status& why) {
  for (Seat& seat : seats_) {
    if (seat.communicator != nullptr) seat.communicator->Abort(why);
  }
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
  if (!first.ok() && connected_) Abort(first);
  if (!first.ok() && !connected_ && seat.communicator != nullptr) seat.communicator->Abort(first);
  std::lock_guard lock(mutex_);
  if (--working_ == 0) answered_.notify_one();
}

}  // namespace millrace
