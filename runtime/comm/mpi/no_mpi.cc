// Linked instead of the other sources by a build without MPI (--//runtime/comm/mpi:link_mpi=false).
#include "runtime/comm/mpi/mpi.h"

namespace millrace {
namespace {

absl::Status Missing() {
  return absl::UnimplementedError(
      "this program was built without MPI: mpi.h and libmpi were not found. Install libopenmpi-dev and openmpi-bin "
      "(tools/setup.sh does), build again, or use --comm=gloo");
}

}  // namespace

bool MpiIsLinked() { return false; }

absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommunicatorOptions&) { return Missing(); }

void FinalizeMpi() {}

absl::StatusOr<std::unique_ptr<Exchange>> MakeMpiExchange() { return Missing(); }

}  // namespace millrace
