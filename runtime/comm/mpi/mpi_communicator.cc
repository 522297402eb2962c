#include "runtime/comm/mpi/mpi_communicator.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/check_transfers.h"
#include "runtime/comm/patience.h"

namespace millrace::mpi {
namespace {

// Between two looks of a thread that waits.
constexpr auto kPause = std::chrono::microseconds(50);
// How long an error may hold up its own report, so that the others hear of it.
constexpr auto kTellWithin = std::chrono::milliseconds(200);

}  // namespace

absl::StatusOr<Communicator::Ticket> MpiCommunicator::Post(absl::Span<const Transfer> group) {
  if (first_error_.set()) return Aborted();
  MR_RETURN_IF_ERROR(Check(group));
  MR_ASSIGN_OR_RETURN(const uint32_t index, PostIn(kTransfers, group));
  return records_.TicketOf(index);
}

bool MpiCommunicator::Done(Ticket ticket) {
  if (first_error_.set()) return true;
  std::lock_guard<std::mutex> lock(library_->mutex());
  Progress();
  Record* record = records_.Find(ticket);
  return record == nullptr || Settled(*record);
}

absl::Status MpiCommunicator::Wait(Ticket ticket, const std::function<std::string()>& what) {
  if (first_error_.set()) return Aborted();
  if (!records_.Issued(ticket)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " never issued ticket ", ticket));
  }
  Record* record = records_.Find(ticket);
  if (record == nullptr) return absl::OkStatus();
  return Conclude(records_.IndexOf(ticket), Await(*record, what), what);
}

absl::Status MpiCommunicator::Check(absl::Span<const Transfer> group) const {
  MR_RETURN_IF_ERROR(CheckTransfersWithOthers(rank_, size_, group));
  for (const Transfer& transfer : group) {
    if (transfer.bytes <= INT_MAX) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank_, " posts ", transfer.bytes, " bytes at once; MPI moves less than 2 GiB"));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> MpiCommunicator::PostIn(Space space, absl::Span<const Transfer> group) {
  std::lock_guard<std::mutex> lock(library_->mutex());
  const uint32_t index = records_.Take();
  Record& record = records_[index];
  record.space = space;
  for (const Transfer& transfer : group) record.halves.push_back({transfer});
  for (Half& half : record.halves) {
    const Transfer& t = half.transfer;
    if (halves_.try_emplace({t.peer, space, t.send, t.tag}, &half).second) continue;
    const absl::Status twice = absl::InvalidArgumentError(
        absl::StrCat("rank ", rank_, t.send ? " sends to" : " receives from", " rank ", t.peer, " with tag ", t.tag,
                     ", but a transfer with that peer, direction and tag is already in flight"));
    Retire(index);
    return twice;
  }
  for (Half& half : record.halves) Open(&half, space);
  Progress();
  return index;
}

// All halves are done, or one never will be. A peer's last bytes come before its farewell: both are sent in order, and
// a receive is looked at after the control records.
bool MpiCommunicator::Settled(const Record& record) const {
  bool done = true;
  for (const Half& half : record.halves) {
    if (half.done) continue;
    if (peers_[half.transfer.peer].left) return true;
    done = false;
  }
  return done;
}

absl::Status MpiCommunicator::Await(const Record& record, const std::function<std::string()>& what) {
  const auto look = [&] {
    std::lock_guard<std::mutex> lock(library_->mutex());
    Progress();
    return Settled(record);
  };
  Patience patience(options_);
  for (int i = 0;; ++i) {
    if (first_error_.set()) return first_error_.Get();
    if (look()) return absl::OkStatus();
    if (i < spins_) {
      std::this_thread::yield();
      continue;
    }
    if (Patience::Clock::now() >= patience.next()) MR_RETURN_IF_ERROR(patience.Overdue(what));
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    sleep_.wait_for(lock, kPause);
  }
}

absl::Status MpiCommunicator::Conclude(uint32_t index, absl::Status status, const std::function<std::string()>& what) {
  std::string left;
  {
    std::lock_guard<std::mutex> lock(library_->mutex());
    for (const Half& half : records_[index].halves) {
      if (!half.done && left.empty()) left = absl::StrCat("rank ", half.transfer.peer, " has left");
    }
  }
  if (status.ok() && !left.empty()) {
    status = absl::UnavailableError(absl::StrCat(what ? what() : "a transfer", ": ", left));
  }
  if (!status.ok()) Abort(status);
  if (first_error_.set()) return Aborted();
  std::lock_guard<std::mutex> lock(library_->mutex());
  Retire(index);
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Barrier() { return Meet(nullptr, nullptr, 0, "Barrier"); }

absl::Status MpiCommunicator::AllGather(const void* mine, void* all, uint64_t bytes) {
  return Meet(mine, all, bytes, "AllGather");
}

absl::Status MpiCommunicator::Meet(const void* mine, void* all, uint64_t bytes, const char* name) {
  if (first_error_.set()) return Aborted();
  const auto swap = [&](uint64_t number, const void* given, void* gathered, uint64_t each) -> absl::Status {
    char* to = static_cast<char*>(gathered);
    if (to + rank_ * each != given) std::memcpy(to + rank_ * each, given, each);
    std::vector<Transfer> group;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      group.push_back({true, peer, number, to + rank_ * each, each});
      group.push_back({false, peer, number, to + peer * each, each});
    }
    MR_RETURN_IF_ERROR(Check(group));
    MR_ASSIGN_OR_RETURN(const uint32_t index, PostIn(kMeetings, group));
    const auto what = [&] {
      std::string text = absl::StrCat("rank ", rank_, " waits in ", name, " ", number / 2, " for ranks");
      std::lock_guard<std::mutex> lock(library_->mutex());
      for (const Half& half : records_[index].halves) {
        if (!half.transfer.send && !half.done) absl::StrAppend(&text, " ", half.transfer.peer);
      }
      return text;
    };
    return Conclude(index, Await(records_[index], what), what);
  };
  const absl::Status status = meeting_.Gather(mine, all, bytes, swap);
  if (status.ok()) return status;
  Abort(status);
  return Aborted();
}

// Never waits for the library: a thread that holds its lock may be deep in MPI.
void MpiCommunicator::Abort(absl::Status why) {
  if (!first_error_.Set(why)) return;
  library_->LeaveUnfinalized();
  std::lock_guard<std::mutex> lock(sleep_mutex_);
  sleep_.notify_all();
}

// The caller may free its memory once it knows of the error.
absl::Status MpiCommunicator::Aborted() {
  if (!cleaned_) {
    cleaned_ = true;
    const auto until = Patience::Clock::now() + kTellWithin;
    for (bool heard = false; !heard && Patience::Clock::now() < until; std::this_thread::sleep_for(kPause)) {
      std::lock_guard<std::mutex> lock(library_->mutex());
      Progress();
      heard = told_ && AllHeard();
    }
    std::lock_guard<std::mutex> lock(library_->mutex());
    for (uint32_t index = 0; index < records_.size(); ++index) {
      if (records_[index].open) Retire(index);
    }
  }
  return first_error_.Get();
}

}  // namespace millrace::mpi
