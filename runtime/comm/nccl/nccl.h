// Ranks that are GPUs, over NCCL: the same Communicator for device memory. docs/communicators.md tells how it works.
//
// Linked by choice: no_nccl.cc stands in for NCCL on a machine without it. Then making one is UNIMPLEMENTED.
#ifndef RUNTIME_COMM_NCCL_NCCL_H_
#define RUNTIME_COMM_NCCL_NCCL_H_

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
#include "runtime/comm/collectives.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/exchange.h"
#include "runtime/comm/nccl/groups.h"

namespace millrace {

bool NcclIsLinked();
std::string NcclVersion();  // "NCCL 2.28.9"; empty where there is none

struct NcclOptions {
  CommunicatorOptions waits;
  // Which ranks get a communicator of their own, the same list on every rank. Transfers of no group go over the one of
  // all ranks.
  std::vector<NcclGroup> groups;
  // One communicator and one stream for everything: fewer channels and buffers, but all of a rank's transfers wait for
  // each other. Right for any plan that was verified, since the verifier's proof is for one queue.
  bool one_communicator = false;
  // So many transfers of each direction of each pair are compared with the other rank's (bytes, tag) through `control`.
  // After that both are taken to repeat the same program.
  uint64_t checked_transfers = 4096;
  absl::Duration set_up_within = absl::Minutes(5);
  absl::Duration leave_within = absl::Seconds(1);  // how long the end waits for the other ranks' ends
};

// Beyond what communicator.h says:
//   - Transfer::memory is memory of the device. Barrier and AllGather are for the host's memory; they go over
//   `control`.
//   - Transfers of one group of NcclOptions::groups move in the order in which they are posted, on a stream of the
//     group. Both ranks post those of one direction in the same order (within one Post: any); otherwise
//     INVALID_ARGUMENT on both sides, as for different byte counts, as long as transfers are checked.
//   - The host waits for no kernel in PostAfter and WaitOn. A wait on a stream that passes the time limits is reported,
//     and ends, by a thread of the communicator.
//   - Every error aborts: NCCL's kernels end within a second on every rank that `control` reaches.
//   - No transfers from a rank to itself.
class NcclCommunicator : public Communicator {
 public:
  // How many communicators of NCCL this rank has.
  virtual int communicators() const = 0;

  // A collective in the order of its group's stream, after what `after` holds now (null: at once). The group is the one
  // of all ranks or one of NcclOptions::groups. NCCL adds in an order of its own, the same in each run on the same
  // machines. Its staging is not used.
  virtual absl::StatusOr<Ticket> Start(const Collective& collective, Stream* after) = 0;

  // out = ((operands[0] + operands[1]) + ...) as SumInOrder of runtime/comm/sum.h, on a stream.
  using SumFn = std::function<absl::Status(Stream& stream, DType dtype, absl::Span<const void* const> operands,
                                           void* out, uint64_t count)>;
  // The same with the sum in the order of the ranks (--reduction=ordered): by sends, receives and `sum`. The bits of
  // MakeDirectCollectives. Uses the staging.
  virtual absl::StatusOr<Ticket> StartOrdered(const Collective& collective, Stream* after, const SumFn& sum) = 0;
};

// Every rank calls it, with its own exchange and control. The ranks find each other in Attach, through `exchange`,
// which must be one that strangers cannot join: NCCL's unique id, which opens its sockets, goes through it. `control`
// carries what the host says, and errors. Attach returns UNAVAILABLE with NCCL's words when it cannot be set up, and
// FAILED_PRECONDITION when ranks have different versions of NCCL; `exchange` must live until then. No environment
// variable is set.
absl::StatusOr<std::unique_ptr<NcclCommunicator>> MakeNcclCommunicator(Exchange* exchange,
                                                                       std::unique_ptr<Communicator> control,
                                                                       const NcclOptions& options);

// SumInOrder of runtime/comm/sum.h on a GPU, of at most 128 operands: for StartOrdered. UNIMPLEMENTED, when it is
// called, in a build without NCCL.
NcclCommunicator::SumFn SumOnGpu();

// NCCL's collectives behind the interface of collectives.h; with a sum, those in rank order. For device memory. The
// communicator must outlive it.
std::unique_ptr<Collectives> MakeNcclCollectives(NcclCommunicator* communicator, NcclCommunicator::SumFn ordered = {});

}  // namespace millrace

#endif  // RUNTIME_COMM_NCCL_NCCL_H_
