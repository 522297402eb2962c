// Communicators of ranks that are threads of one process.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/in_process_hub.h"

namespace millrace {
namespace in_process {
namespace {

// The Wait that returns a group's outcome retires it; to wait for a retired ticket again is harmless.
class InProcessCommunicator : public Communicator {
 public:
  InProcessCommunicator(std::shared_ptr<Hub> hub, int rank) : hub_(std::move(hub)), rank_(rank) {}
  ~InProcessCommunicator() override {
    CancelAll();
    // The device may go now, though the hub stays.
    Seat& seat = hub_->seat(rank_);
    seat.copying.reset();
    seat.copy_events.clear();
    for (Record& record : seat.records) record.begin.reset();
  }

  int rank() const override { return rank_; }
  int size() const override { return hub_->size(); }

  absl::Status Attach(Device* device) override { return hub_->Attach(rank_, device); }

  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override { return PostAs(nullptr, group); }

  absl::StatusOr<Ticket> PostAfter(Stream& stream, absl::Span<const Transfer> group) override {
    if (on_device()) return PostAs(&stream, group);
    MR_RETURN_IF_ERROR(stream.Synchronize());
    return PostAs(nullptr, group);
  }

  bool Done(Ticket ticket) override {
    if (hub_->aborted()) return true;
    Record* record = records().Find(ticket);
    return record == nullptr || record->failed.load() || (record->remaining.load() == 0 && Copied(*record));
  }

  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override {
    MR_ASSIGN_OR_RETURN(Record* const record, Meet(ticket, what));
    if (record == nullptr) return absl::OkStatus();
    absl::Status status;
    for (const std::shared_ptr<Event>& copy : record->copies) {
      if (status.ok()) status = copy->Wait();
    }
    Retire(record, records().IndexOf(ticket));
    return status;
  }

  // The host waits until the other ranks have posted, for no copy.
  absl::Status WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what) override {
    if (!on_device()) return Wait(ticket, what);
    MR_ASSIGN_OR_RETURN(Record* const record, Meet(ticket, what));
    if (record == nullptr) return absl::OkStatus();
    for (const std::shared_ptr<Event>& copy : record->copies) MR_RETURN_IF_ERROR(stream.WaitFor(copy.get()));
    record->device_waits = true;
    return absl::OkStatus();
  }

  absl::Status Barrier() override { return Gather(nullptr, nullptr, 0, "Barrier"); }

  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    return Gather(mine, all, bytes, "AllGather");
  }

  void Abort(absl::Status why) override { hub_->Abort(why); }
  absl::Status Failure() const override { return hub_->FirstError(); }

 private:
  absl::Status Check(const Transfer& transfer) const {
    if (transfer.peer < 0 || transfer.peer >= hub_->size()) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " posts a transfer with rank ", transfer.peer,
                                                     "; there are ", hub_->size(), " ranks"));
    }
    if (transfer.memory == nullptr && transfer.bytes > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank ", rank_, " posts ", transfer.bytes, " bytes at no address"));
    }
    return absl::OkStatus();
  }

  Records<Record>& records() { return hub_->seat(rank_).records; }
  bool on_device() const { return hub_->seat(rank_).device.load() != nullptr; }

  absl::StatusOr<Ticket> PostAs(Stream* after, absl::Span<const Transfer> group) {
    if (hub_->aborted()) return Aborted();
    for (const Transfer& transfer : group) MR_RETURN_IF_ERROR(Check(transfer));
    Seat& seat = hub_->seat(rank_);
    if (on_device()) RetireCopied();
    const uint32_t index = seat.records.Take();
    Record& record = seat.records[index];
    if (absl::Status status = Follow(after, seat, &record); !status.ok()) {
      seat.records.Retire(index);
      return status;
    }
    record.rank = rank_;
    record.follows = after != nullptr;
    record.device_waits = false;
    record.copies.clear();
    record.transfers.assign(group.begin(), group.end());
    record.error.clear();
    record.failed.store(false);
    record.remaining.store(static_cast<int>(group.size()));
    hub_->Offer(&record);
    return seat.records.TicketOf(index);
  }

  static absl::Status Follow(Stream* after, Seat& seat, Record* record) {
    if (after == nullptr) return absl::OkStatus();
    if (record->begin == nullptr) {
      MR_ASSIGN_OR_RETURN(record->begin, seat.device.load()->NewEvent());
    }
    return after->Record(record->begin.get());
  }

  // Waits until both halves of each transfer have met: then its copy is done, or queued on a device. nullptr: retired.
  absl::StatusOr<Record*> Meet(Ticket ticket, const std::function<std::string()>& what) {
    if (hub_->aborted()) return Aborted();
    if (!records().Issued(ticket)) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank_, " never issued ticket ", ticket));
    }
    Record* record = records().Find(ticket);
    if (record == nullptr) return nullptr;
    absl::Status status = hub_->Await(
        rank_, [record] { return record->remaining.load() == 0 || record->failed.load(); }, what);
    if (hub_->aborted()) return Aborted();
    if (status.ok() && record->failed.load()) {
      std::lock_guard<std::mutex> lock(hub_->seat(rank_).mutex);
      status = absl::InvalidArgumentError(record->error);
    }
    if (status.ok()) return record;
    Retire(record, records().IndexOf(ticket));
    return status;
  }

  // All copies of a record whose halves have met are done.
  static bool Copied(const Record& record) {
    return std::all_of(record.copies.begin(), record.copies.end(), [](const auto& copy) { return copy->Ready(); });
  }

  // What only streams have waited for.
  void RetireCopied() {
    for (uint32_t i = 0; i < records().size(); ++i) {
      Record& record = records()[i];
      if (record.open && record.device_waits && Copied(record)) Retire(&record, i);
    }
  }

  absl::Status Gather(const void* mine, void* all, uint64_t bytes, const char* name) {
    absl::Status status = hub_->AllGather(rank_, mine, all, bytes, name);
    return hub_->aborted() ? Aborted() : status;
  }

  void Retire(Record* record, uint32_t index) {
    if (record->remaining.load() != 0) hub_->Cancel(record);
    for (const std::shared_ptr<Event>& copy : record->copies) (void)copy->Wait();  // of a failed group
    record->copies.clear();
    records().Retire(index);
  }

  void CancelAll() {
    for (uint32_t i = 0; i < records().size(); ++i) {
      if (records()[i].open) Retire(&records()[i], i);
    }
  }

  // The caller may free its memory once it knows of the error, so nothing of it stays in a mailbox.
  absl::Status Aborted() {
    CancelAll();
    return hub_->FirstError();
  }

  const std::shared_ptr<Hub> hub_;
  const int rank_;
};

}  // namespace
}  // namespace in_process

std::vector<std::unique_ptr<Communicator>> MakeInProcessCommunicators(int size, const CommunicatorOptions& options) {
  auto hub = std::make_shared<in_process::Hub>(size, options);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.push_back(std::make_unique<in_process::InProcessCommunicator>(hub, rank));
  }
  return ranks;
}

}  // namespace millrace
