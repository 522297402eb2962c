#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/device.h"
#include "proto/status_macros.h"
#include "runtime/comm/records.h"
#include "runtime/job/whereabouts.h"

namespace millrace {
namespace {

class NotingCommunicator : public Communicator {
 public:
  NotingCommunicator(std::shared_ptr<Communicator> inner, Whereabouts* whereabouts)
      : inner_(std::move(inner)), whereabouts_(whereabouts) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }

  // One group of the inner communicator for each peer, so that Wait can tell who is late. Posting never blocks:
  // together or one after another is the same.
  absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) override {
    if (device_memory_) return inner_->Post(group);
    const uint32_t index = records_.Take();
    Record& record = records_[index];
    rest_.assign(group.begin(), group.end());
    do {
      const int peer = rest_.empty() ? rank() : rest_.front().peer;
      part_.clear();
      later_.clear();
      for (const Transfer& transfer : rest_) (transfer.peer == peer ? part_ : later_).push_back(transfer);
      const absl::StatusOr<Ticket> ticket = inner_->Post(part_);
      if (!ticket.ok()) {
        Retire(index);
        return ticket.status();
      }
      record.parts.push_back({peer, *ticket});
      std::swap(rest_, later_);
    } while (!rest_.empty());
    return records_.TicketOf(index);
  }

  // On a device a group is one kernel, and halves of it could wait for each other: groups stay whole, and nobody is
  // named but by the worker.
  absl::Status Attach(Device* device) override {
    device_memory_ = !device->memory_is_hosts();
    return inner_->Attach(device);
  }

  absl::Status Register(void* memory, uint64_t bytes) override { return inner_->Register(memory, bytes); }
  void Unregister() override { inner_->Unregister(); }

  absl::StatusOr<Ticket> PostAfter(Stream& stream, absl::Span<const Transfer> group) override {
    return device_memory_ ? inner_->PostAfter(stream, group) : Communicator::PostAfter(stream, group);
  }

  bool Done(Ticket ticket) override {
    if (device_memory_) return inner_->Done(ticket);
    const Record* record = records_.Find(ticket);
    if (record == nullptr) return true;
    for (const Part& part : record->parts) {
      if (!inner_->Done(part.ticket)) return false;
    }
    return true;
  }

  absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) override {
    if (device_memory_) return inner_->Wait(ticket, what);
    if (!records_.Issued(ticket)) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", rank(), " never issued ticket ", ticket));
    }
    Record* record = records_.Find(ticket);
    if (record == nullptr) return absl::OkStatus();
    absl::Status status;
    for (const Part& part : record->parts) {
      const bool waits = !inner_->Done(part.ticket);
      if (waits) whereabouts_->WaitFor(part.peer);
      const absl::Status one = inner_->Wait(part.ticket, what);
      if (waits) whereabouts_->Resume();
      if (status.ok()) status = one;
    }
    Retire(records_.IndexOf(ticket));
    return status;
  }
  absl::Status WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what) override {
    return device_memory_ ? inner_->WaitOn(stream, ticket, what) : Wait(ticket, what);
  }

  absl::Status Barrier() override {
    whereabouts_->WaitFor(kEveryRank);
    absl::Status status = inner_->Barrier();
    whereabouts_->Resume();
    return status;
  }
  absl::Status AllGather(const void* mine, void* all, uint64_t bytes) override {
    whereabouts_->WaitFor(kEveryRank);
    absl::Status status = inner_->AllGather(mine, all, bytes);
    whereabouts_->Resume();
    return status;
  }
  void Abort(absl::Status why) override { inner_->Abort(std::move(why)); }
  absl::Status Failure() const override { return inner_->Failure(); }

 private:
  struct Part {
    int peer = 0;
    Ticket ticket = 0;
  };
  struct Record : RecordBase {
    std::vector<Part> parts;
  };

  void Retire(uint32_t index) {
    records_[index].parts.clear();
    records_.Retire(index);
  }

  const std::shared_ptr<Communicator> inner_;
  Whereabouts* const whereabouts_;
  bool device_memory_ = false;
  Records<Record> records_;
  std::vector<Transfer> rest_, part_, later_;
};

}  // namespace

std::unique_ptr<Communicator> MakeNotingCommunicator(std::shared_ptr<Communicator> inner, Whereabouts* whereabouts) {
  return std::make_unique<NotingCommunicator>(std::move(inner), whereabouts);
}

}  // namespace millrace
