// Ranks that mpirun started, over the MPI library.
#ifndef RUNTIME_COMM_MPI_MPI_H_
#define RUNTIME_COMM_MPI_MPI_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/comm/communicator.h"

namespace millrace {

// Whether this build has it.
bool MpiLinked();

// UNIMPLEMENTED where this build has no MPI.
absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommunicatorOptions& options = {});

}  // namespace millrace

#endif  // RUNTIME_COMM_MPI_MPI_H_
