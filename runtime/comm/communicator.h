// How ranks talk. One Communicator per rank; backends: in_process (ranks are threads of one process), gloo, mpi, nccl.
// tests/conformance/communicator_test.h is the suite that every implementation passes.
#ifndef RUNTIME_COMM_COMMUNICATOR_H_
#define RUNTIME_COMM_COMMUNICATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/device.h"

namespace millrace {

// One half of a point-to-point transfer. The other rank posts the other half with the same tag and byte count.
struct Transfer {
  bool send = false;
  int peer = 0;
  uint64_t tag = 0;      // (edge, micro-batch); a (peer, direction, tag) is in flight at most once
  void* memory = nullptr;  // must stay valid, and unwritten (send) or untouched (receive), until the ticket is done
  uint64_t bytes = 0;
};

struct CommunicatorOptions {
  absl::Duration warn_after = absl::Seconds(10);        // a wait this long is reported once, by its description
  absl::Duration terminate_after = absl::Minutes(30);   // DEADLINE_EXCEEDED
  // Asked when a wait is reported or given up: where the other ranks stand, in lines of its own. On the waiting thread,
  // which may hold no lock; may be empty.
  std::function<std::string()> report;
};

// One thread at a time per Communicator, except Abort and Failure, which any thread may call.
class Communicator {
 public:
  using Ticket = uint64_t;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Starts all transfers of a group together and returns at once. They make progress whatever the ranks do
  // meanwhile (in process, where whoever posts second copies, there is nothing to do). INVALID_ARGUMENT when the two
  // halves disagree in bytes (both sides learn it).
  virtual absl::StatusOr<Ticket> Post(absl::Span<const Transfer> group) = 0;
  virtual bool Done(Ticket ticket) = 0;
  // Blocks until all transfers of the group are done: spins briefly, then parks. `what` describes the wait in reports:
  // "rank 3 waits for edge relu5 of micro-batch 7 at instruction 41". It is called only when something is reported.
  virtual absl::Status Wait(Ticket ticket, const std::function<std::string()>& what) = 0;

  // Transfers are of this device's memory from now on; it must outlive the communicator. Every rank calls it before
  // the first transfer; never called, memory is the host's. UNIMPLEMENTED where the communicator cannot reach such memory.
  virtual absl::Status Attach(Device* device);
  // The memory that most transfers are of, so that the transport may reach it without a copy in between: once, after
  // Attach and before the first transfer. Unregister before the memory is freed.
  virtual absl::Status Register(void* /*memory*/, uint64_t /*bytes*/) { return absl::OkStatus(); }
  virtual void Unregister() {}

  // The same in the order of a device's streams. A communicator that moves device memory
  // puts events between its transfers and the stream, and the host waits for no kernel; every other one synchronises
  // the stream before it posts, and waits. Both halves of a transfer are posted in the same way.
  //
  // The transfers begin when the work that `stream` holds now is done.
  virtual absl::StatusOr<Ticket> PostAfter(Stream& stream, absl::Span<const Transfer> group);
  // What is put on `stream` from now on begins when the transfers of the group are done. Where the host does not wait,
  // time limits hold all the same, and an error comes with the next call.
  virtual absl::Status WaitOn(Stream& stream, Ticket ticket, const std::function<std::string()>& what);

  // Collectives: every rank calls them in the same order with the same byte count.
  virtual absl::Status Barrier() = 0;
  // `all` gets size() * bytes bytes, in rank order.
  virtual absl::Status AllGather(const void* mine, void* all, uint64_t bytes) = 0;

  // The first error wins: every wait of every rank, present and future, returns it. Idempotent.
  virtual void Abort(absl::Status why) = 0;
  // OK until this rank knows of an error that ends the communicator; then that error, the first. Any thread.
  virtual absl::Status Failure() const = 0;
};

// `size` communicators for threads of this process; element r belongs to rank r. They share state, and each may
// outlive the others.
std::vector<std::unique_ptr<Communicator>> MakeInProcessCommunicators(int size, const CommunicatorOptions& options = {});

}  // namespace millrace

#endif  // RUNTIME_COMM_COMMUNICATOR_H_
