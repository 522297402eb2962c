#include "runtime/comm/gloo/communicator.h"

#include <algorithm>
#include <chrono>
#include <exception>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/check_transfers.h"
#include "runtime/comm/patience.h"

namespace millrace::gloo_comm {
namespace {

using Clock = Patience::Clock;

// When a wait first asks its peers, and the longest time between two questions.
constexpr Clock::duration kFirstQuestion = std::chrono::milliseconds(20);
constexpr Clock::duration kLastQuestion = std::chrono::seconds(1);
// How long an error may hold up its own report, so that the others hear of it before the links are cut.
constexpr auto kTellWithin = std::chrono::milliseconds(200);

}  // namespace

absl::StatusOr<Communicator::Ticket> GlooCommunicator::Post(absl::Span<const Transfer> group) {
  if (first_error_.set()) return Aborted();
  MR_RETURN_IF_ERROR(CheckTransfersWithOthers(rank_, size_, group));
  const uint32_t index = records_.Take();
  Record& record = records_[index];
  record.transfers.assign(group.begin(), group.end());
  for (const Transfer& transfer : group) {
    record.parcels.push_back(std::make_unique<Parcel>(mesh_, transfer.memory, transfer.bytes));
  }
  absl::Status status = Announce(&record);
  if (!status.ok()) {
    Retire(index);
    return status;
  }
  for (size_t i = 0; i < group.size(); ++i) {
    Start(&record, i, SlotOf(SlotKind::kTransfer, group[i].tag, group[i].bytes));
  }
  return records_.TicketOf(index);
}

bool GlooCommunicator::Done(Ticket ticket) {
  if (first_error_.set()) return true;
  Record* record = records_.Find(ticket);
  return record == nullptr || Settled(*record);
}

absl::Status GlooCommunicator::Wait(Ticket ticket, const std::function<std::string()>& what) {
  if (first_error_.set()) return Aborted();
  if (!records_.Issued(ticket)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " never issued ticket ", ticket));
  }
  Record* record = records_.Find(ticket);
  if (record == nullptr) return absl::OkStatus();
  return Conclude(records_.IndexOf(ticket), Await(*record, what), what);
}

absl::Status GlooCommunicator::Announce(Record* record) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < record->transfers.size(); ++i) {
    const Transfer& transfer = record->transfers[i];
    const Half half = {transfer.bytes, record->parcels[i].get()};
    if (halves_.try_emplace({transfer.peer, transfer.send, transfer.tag}, half).second) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "rank ", rank_, transfer.send ? " sends to" : " receives from", " rank ", transfer.peer, " with tag ",
        transfer.tag, ", but a transfer with that peer, direction and tag is already in flight"));
  }
  for (const Transfer& transfer : record->transfers) {
    const HalfKey key = {transfer.peer, transfer.send, transfer.tag};
    halves_[key].use = ++uses_[key];
  }
  return absl::OkStatus();
}

// What gloo throws here it has told Lost before.
void GlooCommunicator::Start(Record* record, size_t i, uint64_t slot) {
  const Transfer& transfer = record->transfers[i];
  Parcel& parcel = *record->parcels[i];
  try {
    if (transfer.send) {
      parcel.send(transfer.peer, slot, 0, transfer.bytes);
    } else {
      parcel.recv(transfer.peer, slot, 0, transfer.bytes);
    }
  } catch (const std::exception&) {
  }
}

// All transfers are done, or one of them never will be. What arrived before its sender was lost has arrived.
bool GlooCommunicator::Settled(const Record& record) const {
  bool done = true;
  for (size_t i = 0; i < record.parcels.size(); ++i) {
    const bool lost = peers_[record.transfers[i].peer].lost.load();
    if (record.parcels[i]->Done()) continue;
    if (lost) return true;
    done = false;
  }
  return done;
}

// Until the record is settled, the first error (returned), or the time limit (DEADLINE_EXCEEDED).
absl::Status GlooCommunicator::Await(const Record& record, const std::function<std::string()>& what) {
  for (int i = 0; i < spins_; ++i) {
    if (first_error_.set()) return first_error_.Get();
    if (Settled(record)) return absl::OkStatus();
    std::this_thread::yield();
  }
  Patience patience(options_);
  Clock::duration pause = kFirstQuestion;
  Clock::time_point question = Clock::now() + pause;
  absl::Status status;
  parked_.fetch_add(1);
  std::unique_lock<std::mutex> lock(mutex_);
  while (status.ok()) {
    if (first_error_.set()) {
      status = first_error_.Get();
      break;
    }
    if (Settled(record)) break;
    if (wake_.wait_until(lock, std::min(question, patience.next())) == std::cv_status::no_timeout) continue;
    if (first_error_.set() || Settled(record)) continue;
    lock.unlock();
    const Clock::time_point now = Clock::now();
    if (now >= question) {
      Ask(record);
      pause = std::min(2 * pause, kLastQuestion);
      question = now + pause;
    }
    if (now >= patience.next()) status = patience.Overdue(what);
    lock.lock();
  }
  parked_.fetch_sub(1);
  return status;
}

absl::Status GlooCommunicator::Conclude(uint32_t index, absl::Status status, const std::function<std::string()>& what) {
  const Record& record = records_[index];
  for (size_t i = 0; i < record.parcels.size() && status.ok(); ++i) {
    if (record.parcels[i]->Done()) continue;
    const absl::Status gone = Gone(record.transfers[i].peer);
    status = absl::Status(gone.code(), absl::StrCat(what ? what() : "a transfer", ": ", gone.message()));
  }
  if (!status.ok()) Abort(status);
  if (first_error_.set()) return Aborted();
  Retire(index);
  return absl::OkStatus();
}

// After this nobody touches the memory of the record's transfers.
void GlooCommunicator::Retire(uint32_t index) {
  Record& record = records_[index];
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < record.parcels.size(); ++i) {
      const Transfer& transfer = record.transfers[i];
      const auto half = halves_.find({transfer.peer, transfer.send, transfer.tag});
      if (half != halves_.end() && half->second.parcel == record.parcels[i].get()) halves_.erase(half);
    }
  }
  record.parcels.clear();
  record.transfers.clear();
  records_.Retire(index);
}

void GlooCommunicator::Ask(const Record& record) {
  for (size_t i = 0; i < record.parcels.size(); ++i) {
    const Transfer& transfer = record.transfers[i];
    if (record.parcels[i]->Done()) continue;
    ControlRecord question;
    question.kind = ControlRecord::kQuestion;
    question.send = transfer.send;
    question.tag = transfer.tag;
    question.bytes = transfer.bytes;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto half = halves_.find({transfer.peer, transfer.send, transfer.tag});
      // Messages of a meeting have no halves: their sizes were agreed on.
      if (half == halves_.end() || half->second.parcel != record.parcels[i].get()) continue;
      question.use = half->second.use;
    }
    outbox_.Send(mesh_, transfer.peer, question);
  }
}

// The caller may free its memory once it knows of the error. Links with transfers half way are of no more use.
absl::Status GlooCommunicator::Aborted() {
  if (!cleaned_) {
    cleaned_ = true;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait_for(lock, kTellWithin, [this] { return told_ && AllHeard(); });
    }
    std::vector<bool> cut(size_, false);
    for (uint32_t index = 0; index < records_.size(); ++index) {
      if (!records_[index].open) continue;
      for (size_t i = 0; i < records_[index].parcels.size(); ++i) {
        if (!records_[index].parcels[i]->Done()) cut[records_[index].transfers[i].peer] = true;
      }
      Retire(index);
    }
    for (int peer = 0; peer < size_; ++peer) {
      if (!cut[peer]) continue;
      peers_[peer].lost.store(true);
      mesh_->link(peer).Close();
    }
  }
  return first_error_.Get();
}

}  // namespace millrace::gloo_comm
