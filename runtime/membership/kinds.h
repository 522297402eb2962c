// The kinds of membership, one file each.
#ifndef RUNTIME_MEMBERSHIP_KINDS_H_
#define RUNTIME_MEMBERSHIP_KINDS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/membership/membership.h"

namespace millrace {

// Over the rendezvous, with gloo, and NCCL where it is asked for. The process of rank 0 runs the coordinator, unless a supervisor does.
absl::StatusOr<std::unique_ptr<Membership>> MakeGlooMembership(const MembershipOptions& options);
// As a rank of MPI_COMM_WORLD: mpirun is the supervisor.
absl::StatusOr<std::unique_ptr<Membership>> MakeMpiMembership(const MembershipOptions& options);

// The ranks that the contract gives to this process.
std::vector<int> RanksOf(const LaunchContract& contract);

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_KINDS_H_
