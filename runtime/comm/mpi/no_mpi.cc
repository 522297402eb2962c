#include "runtime/comm/mpi/mpi.h"

namespace millrace {

bool MpiLinked() { return false; }

absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommunicatorOptions&) {
  return absl::UnimplementedError("--comm=mpi: this build has no MPI; use --comm=gloo");
}

}  // namespace millrace
