// What a rank does together with others beside its RUNs: transfers, then kernels on what has arrived, then perhaps more
// of both. Goes on whenever the rank's thread looks after it, and blocks only when it is wanted.
#ifndef RUNTIME_WORKER_REPLICA_WORK_H_
#define RUNTIME_WORKER_REPLICA_WORK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/comm/communicator.h"

namespace millrace {

// Made once, run once a step or more often. Runs that follow each other take turns with two sets of tags: before a rank
// begins the next but one, every other has ended this one. The rank's thread only; the communicator must outlive it.
class ReplicaWork {
 public:
  // First the transfers, then `then`, where there is one.
  struct Part {
    std::vector<Transfer> transfers;
    std::function<absl::Status(Stream&)> then;
  };

  explicit ReplicaWork(Communicator* communicator) : communicator_(communicator) {}

  void Add(Part part) { parts_.push_back(std::move(part)); }
  bool empty() const { return parts_.empty(); }
  // Of the first part that has any: whom it waits for.
  int FirstPeer() const;

  // Posts the first transfers. What they send must have been written in `stream`'s order.
  absl::Status Start(Stream& stream);
  // Takes the steps that have become possible; true when all is done.
  absl::StatusOr<bool> Advance(Stream& stream);
  // Has it posted all that it will, with nothing to do when that has arrived?
  bool only_waits() const { return at_ >= parts_.size() || (at_ + 1 == parts_.size() && !parts_[at_].then); }
  // Blocks until all is done; on a device until it stands in the stream, which then waits for the rest. `what` describes
  // the wait. Adds the nanoseconds that the host spent waiting to *waited.
  absl::Status Finish(Stream& stream, const std::function<std::string()>& what, int64_t* waited);

 private:
  void TakeTurn();
  absl::Status Post(Stream& stream);
  absl::Status Next(Stream& stream);  // the transfers of the current part have arrived

  Communicator* const communicator_;
  std::vector<Part> parts_;
  size_t at_ = 0;
  Communicator::Ticket ticket_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_REPLICA_WORK_H_
