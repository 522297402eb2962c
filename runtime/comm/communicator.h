// How ranks talk. One Communicator per rank; backends: in_process (ranks are threads of one process), gloo, mpi; later
// nccl. tests/conformance/communicator_test.h is the suite that every implementation passes.
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

// One thread at a time per Communicator, except Abort, which any thread may call.
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

  // Collectives: every rank calls them in the same order with the same byte count.
  virtual absl::Status Barrier() = 0;
  // `all` gets size() * bytes bytes, in rank order.
  virtual absl::Status AllGather(const void* mine, void* all, uint64_t bytes) = 0;

  // The first error wins: every wait of every rank, present and future, returns it. Idempotent.
  virtual void Abort(absl::Status why) = 0;
};

// `size` communicators for threads of this process; element r belongs to rank r. They share state, and each may
// outlive the others.
std::vector<std::unique_ptr<Communicator>> MakeInProcessCommunicators(int size, const CommunicatorOptions& options = {});

}  // namespace millrace

#endif  // RUNTIME_COMM_COMMUNICATOR_H_
