#include "runtime/comm/nccl/device_communicator.h"

#include <algorithm>
#include <chrono>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/check_transfers.h"
#include "runtime/trace/profiler_range.h"

namespace millrace::nccl {
namespace {

constexpr auto kPause = std::chrono::microseconds(20);

std::tuple<int, bool, uint64_t> OrderOf(const Transfer& transfer) {
  return {transfer.peer, transfer.send, transfer.tag};
}

// Of slips, on the host's communicator: number n of a direction, told by the sender or by the receiver.
uint64_t SlipTag(uint64_t number, bool by_sender) { return number * 2 + by_sender; }

}  // namespace

int DeviceCommunicator::ChannelOf(const Transfer& transfer) const {
  if (options_.one_communicator) return 0;
  const int group = routes_.Of(transfer.peer, transfer.send, transfer.tag);
  return group < 0 ? 0 : comms_.channel_of(group);
}

Patience::Clock::time_point DeviceCommunicator::LaunchUntil() const {
  const absl::Duration limit = std::min(options_.waits.terminate_after, absl::Hours(24 * 365));
  return Patience::Clock::now() + std::chrono::nanoseconds(absl::ToInt64Nanoseconds(limit));
}

absl::Status DeviceCommunicator::NotAttached() const {
  return absl::FailedPreconditionError(absl::StrCat("NCCL: rank ", rank_, " is not attached to a device yet"));
}

absl::Status DeviceCommunicator::Check(absl::Span<const Transfer> group) {
  if (device_ == nullptr) return NotAttached();
  MR_RETURN_IF_ERROR(CheckTransfersWithOthers(rank_, size_, group));
  const auto twice = [&](const Transfer& t) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", rank_, t.send ? " sends to" : " receives from", " rank ", t.peer, " with tag ", t.tag,
                     ", but a transfer with that peer, direction and tag is already in flight"));
  };
  for (size_t i = 0; i < group.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (OrderOf(group[i]) == OrderOf(group[j])) return twice(group[i]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> DeviceCommunicator::Take() {
  RetireFinished();
  if (!Failure().ok()) return Aborted();
  std::lock_guard<std::mutex> lock(records_mutex_);
  const uint32_t index = records_.Take();
  Record& record = records_[index];
  record.device_waits = record.warned = record.slips_on_their_way = false;
  record.posted = Patience::Clock::now();
  record.transfers.clear();
  record.channels.clear();
  return index;
}

absl::StatusOr<Communicator::Ticket> DeviceCommunicator::PostOn(Stream* after, absl::Span<const Transfer> group) {
  if (!Failure().ok()) return Aborted();
  MR_RETURN_IF_ERROR(Check(group));
  MR_ASSIGN_OR_RETURN(const uint32_t index, Take());
  Record& record = records_[index];
  {
    std::lock_guard<std::mutex> lock(records_mutex_);
    record.transfers.assign(group.begin(), group.end());
    // Both ranks post what they have for each other in one order, whatever the order of the group.
    std::sort(record.transfers.begin(), record.transfers.end(),
              [](const Transfer& a, const Transfer& b) { return OrderOf(a) < OrderOf(b); });
    for (const Transfer& transfer : record.transfers) {
      const int channel = ChannelOf(transfer);
      const bool known = std::count(record.channels.begin(), record.channels.end(), channel) > 0;
      if (transfer.bytes > 0 && !known) record.channels.push_back(channel);
    }
  }
  absl::Status status = SendSlips(&record);
  if (status.ok()) status = Begin(after, &record);
  if (status.ok()) status = Launch(&record);
  if (status.ok()) status = End(&record);
  if (!status.ok()) return Fail(status);
  return records_.TicketOf(index);
}

absl::Status DeviceCommunicator::Begin(Stream* after, Record* record) {
  if (after == nullptr || record->channels.empty()) return absl::OkStatus();
  if (record->begin == nullptr) {
    MR_ASSIGN_OR_RETURN(record->begin, device_->NewEvent());
  }
  MR_RETURN_IF_ERROR(after->Record(record->begin.get()));
  for (int channel : record->channels) MR_RETURN_IF_ERROR(streams_[channel]->WaitFor(record->begin.get()));
  return absl::OkStatus();
}

absl::Status DeviceCommunicator::Launch(Record* record) {
  if (record->channels.empty()) return absl::OkStatus();
  const bool one = record->transfers.size() == 1;
  const ProfilerRange range(!one ? "GROUP" : record->transfers[0].send ? "SEND" : "RECV");
  const auto calls = [&](const Comms::CommOf& comm) {
    Code first = Code::kSuccess;
    for (const Transfer& t : record->transfers) {
      if (t.bytes == 0) continue;  // the slips meet
      const int channel = ChannelOf(t), peer = comms_.index_of(channel, t.peer);
      void* const stream = streams_[channel]->native();
      const Code code = t.send ? api_->Send(t.memory, t.bytes, peer, comm(channel), stream)
                               : api_->Recv(t.memory, t.bytes, peer, comm(channel), stream);
      if (first == Code::kSuccess && code != Code::kInProgress) first = code;
    }
    return first;
  };
  return comms_.Call(record->channels, calls, LaunchUntil());
}

absl::Status DeviceCommunicator::End(Record* record) {
  std::lock_guard<std::mutex> lock(records_mutex_);
  for (size_t i = 0; i < record->channels.size(); ++i) {
    if (record->events.size() <= i) {
      MR_ASSIGN_OR_RETURN(std::unique_ptr<Event> event, device_->NewEvent());
      record->events.push_back(std::move(event));
    }
    MR_RETURN_IF_ERROR(streams_[record->channels[i]]->Record(record->events[i].get()));
  }
  return absl::OkStatus();
}

absl::Status DeviceCommunicator::SendSlips(Record* record) {
  slip_transfers_.clear();
  record->mine.resize(record->transfers.size());
  record->theirs.resize(record->transfers.size());
  for (size_t i = 0; i < record->transfers.size(); ++i) {
    const Transfer& t = record->transfers[i];
    const uint64_t number = (t.send ? sent_ : received_)[t.peer]++;
    if (number >= options_.checked_transfers) continue;
    record->mine[i] = record->theirs[i] = {t.tag, t.bytes};
    slip_transfers_.push_back({true, t.peer, SlipTag(number, t.send), &record->mine[i], sizeof(Slip)});
    slip_transfers_.push_back({false, t.peer, SlipTag(number, !t.send), &record->theirs[i], sizeof(Slip)});
  }
  if (slip_transfers_.empty()) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(record->slips, control_->Post(slip_transfers_));
  record->slips_on_their_way = true;
  return absl::OkStatus();
}

absl::Status DeviceCommunicator::CompareSlips(Record* record) {
  record->slips_on_their_way = false;
  MR_RETURN_IF_ERROR(control_->Wait(record->slips, [] { return std::string("slips that have arrived"); }));
  for (size_t i = 0; i < record->transfers.size(); ++i) {
    const Transfer& t = record->transfers[i];
    const Slip &mine = record->mine[i], &theirs = record->theirs[i];
    if (mine.tag == theirs.tag && mine.bytes == theirs.bytes) continue;
    const Slip &sent = t.send ? mine : theirs, &expected = t.send ? theirs : mine;
    const int from = t.send ? rank_ : t.peer, to = t.send ? t.peer : rank_;
    if (sent.tag == expected.tag) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", from, " sends ", sent.bytes, " bytes with tag ", sent.tag,
                                                     " to rank ", to, ", which expects ", expected.bytes));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", from, " sends tag ", sent.tag, " (", sent.bytes, " bytes) to rank ", to,
                     ", which expects tag ", expected.tag, " (", expected.bytes,
                     " bytes): NCCL moves what goes one way in the order of posting; both ranks must post alike"));
  }
  return absl::OkStatus();
}

// Of NCCL's part.
bool DeviceCommunicator::Ready(const Record& record) const {
  for (size_t i = 0; i < record.channels.size(); ++i) {
    if (record.events.size() <= i || !record.events[i]->Ready()) return false;
  }
  return true;
}

absl::StatusOr<bool> DeviceCommunicator::Advance(Record* record) {
  if (record->slips_on_their_way) {
    if (!control_->Done(record->slips)) return false;
    MR_RETURN_IF_ERROR(CompareSlips(record));
  }
  return Ready(*record);
}

absl::Status DeviceCommunicator::Await(Record* record, const std::function<std::string()>& what) {
  Patience patience(options_.waits);
  for (int looks = 0;; ++looks) {
    MR_RETURN_IF_ERROR(Failure());
    MR_ASSIGN_OR_RETURN(const bool done, Advance(record));
    if (done) return absl::OkStatus();
    if (looks < spins_) {
      std::this_thread::yield();
      continue;
    }
    if (Patience::Clock::now() >= patience.next()) MR_RETURN_IF_ERROR(patience.Overdue(what));
    std::this_thread::sleep_for(kPause);
  }
}

bool DeviceCommunicator::Done(Ticket ticket) {
  if (!Failure().ok()) return true;
  Record* record = records_.Find(ticket);
  if (record == nullptr) return true;
  const absl::StatusOr<bool> done = Advance(record);
  if (!done.ok()) (void)Fail(done.status());
  return !done.ok() || *done;
}

absl::Status DeviceCommunicator::Wait(Ticket ticket, const std::function<std::string()>& what) {
  if (!Failure().ok()) return Aborted();
  if (!records_.Issued(ticket)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " never issued ticket ", ticket));
  }
  Record* record = records_.Find(ticket);
  if (record == nullptr) return absl::OkStatus();
  const absl::Status status = Await(record, what);
  if (!status.ok()) return Fail(status);
  Retire(records_.IndexOf(ticket));
  return absl::OkStatus();
}

absl::Status DeviceCommunicator::WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what) {
  if (!Failure().ok()) return Aborted();
  if (!records_.Issued(ticket)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " never issued ticket ", ticket));
  }
  Record* record = records_.Find(ticket);
  if (record == nullptr) return absl::OkStatus();
  {
    std::lock_guard<std::mutex> lock(records_mutex_);
    record->device_waits = true;
  }
  for (size_t i = 0; i < record->channels.size(); ++i) {
    if (const absl::Status status = stream.WaitFor(record->events[i].get()); !status.ok()) return Fail(status);
  }
  return absl::OkStatus();
}

void DeviceCommunicator::Retire(uint32_t index) {
  std::lock_guard<std::mutex> lock(records_mutex_);
  records_.Retire(index);
}

// Tickets that nobody waits for are given back when their work is done.
void DeviceCommunicator::RetireFinished() {
  for (uint32_t index = 0; index < records_.size(); ++index) {
    if (!records_[index].open) continue;
    const absl::StatusOr<bool> done = Advance(&records_[index]);
    if (!done.ok()) return (void)Fail(done.status());
    if (*done) Retire(index);
  }
}

void DeviceCommunicator::Abort(absl::Status why) {
  control_->Abort(std::move(why));
  std::lock_guard<std::mutex> lock(watcher_mutex_);
  abort_now_ = true;
  watcher_wakes_.notify_all();
}

absl::Status DeviceCommunicator::Fail(const absl::Status& status) {
  Abort(status);
  return Aborted();
}

// The caller may free its memory once it knows of the error, so NCCL's kernels have ended by then, and slips too.
absl::Status DeviceCommunicator::Aborted() {
  if (!cleaned_) {
    cleaned_ = true;
    comms_.Abort();
    for (const std::unique_ptr<Stream>& stream : streams_) (void)stream->Synchronize();
    for (uint32_t index = 0; index < records_.size(); ++index) {
      if (!records_[index].open) continue;
      if (records_[index].slips_on_their_way) (void)control_->Wait(records_[index].slips, [] { return std::string(); });
      Retire(index);
    }
  }
  return control_->Failure();
}

absl::Status DeviceCommunicator::Register(void* memory, uint64_t bytes) {
  if (!Failure().ok()) return Aborted();
  if (device_ == nullptr) return NotAttached();
  const absl::Status status = comms_.Register(memory, bytes);
  return status.ok() ? status : Fail(status);
}

}  // namespace millrace::nccl
