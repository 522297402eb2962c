// Ranks that mpirun (or srun, or whatever starts MPI programs) has started: OpenMPI's transports.
//
// Linked by choice: no_mpi.cc stands in on a machine without MPI. Then both functions return UNIMPLEMENTED.
#ifndef RUNTIME_COMM_MPI_MPI_H_
#define RUNTIME_COMM_MPI_MPI_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/exchange.h"

namespace millrace {

bool MpiIsLinked();

// This process's communicator with all ranks of the MPI job. Every rank calls these functions in the same order; MPI
// starts with the first call and is finalized at exit, unless a communicator was aborted: then the launcher, which sees
// a process end without it, ends the others. Whoever wants that sooner calls MPI_Abort or exits with an error.
//
// A thread of ours moves transfers when the rank does not, by asking MPI some thousand times a second while something
// is in flight and a thousand times a second otherwise: MPI has no way to be woken. Beyond what communicator.h says:
//   - The receiver opens each transfer: a send starts when its receive has been posted, whatever its tag.
//   - Every error of a wait or collective aborts the communicator: different byte counts, a time limit.
//   - No transfers from a rank to itself, and none of 2 GiB or more: INVALID_ARGUMENT.
//   - MPI does not report a dead peer: the launcher ends the job. A peer that left in good order is UNAVAILABLE to
//     those who wait for it.
//   - Abort tells the other ranks, by MPI. A transfer half way with a rank that no longer answers keeps its memory
//     inside MPI: after an abort its owner should end the process before it frees what it was sending.
// FAILED_PRECONDITION when MPI was built without threads, or was already finalized.
absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommunicatorOptions& options = {});

// Finalizes MPI now, even after an abort: for ranks that know that all of them have got here. No communicator may be left.
void FinalizeMpi();

// Every rank's values by MPI, for set-up.
absl::StatusOr<std::unique_ptr<Exchange>> MakeMpiExchange();

}  // namespace millrace

#endif  // RUNTIME_COMM_MPI_MPI_H_
