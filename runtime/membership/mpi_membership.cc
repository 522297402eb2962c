// Ranks of MPI_COMM_WORLD. mpirun starts them, sees them end and removes the rest.
#include "proto/status_macros.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/membership/kinds.h"

namespace millrace {
namespace {

class MpiMembership : public Membership {
 public:
  explicit MpiMembership(const MembershipOptions& options) : options_(options) {}

  std::vector<int> here() const override { return {options_.contract.rank}; }
  int on_this_host() const override { return options_.contract.local_size; }
  MakeCommunicatorFn make_communicator() override {
    return [this](int rank) -> absl::StatusOr<std::shared_ptr<Communicator>> {
      MR_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> made, MakeMpiCommunicator(options_.waits));
      return std::shared_ptr<Communicator>(std::move(made));
    };
  }
  // An error has reached the others through the communicator; whoever missed it is ended by mpirun.
  absl::Status End(const absl::Status& mine) override { return mine; }

 private:
  const MembershipOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> MakeMpiMembership(const MembershipOptions& options) {
  if (options.contract.ranks_here > 1) {
    return absl::FailedPreconditionError(
        "--comm=mpi has one rank in a process, but the launcher gave several to this one; use --comm=gloo");
  }
  return std::unique_ptr<Membership>(new MpiMembership(options));
}

}  // namespace millrace
