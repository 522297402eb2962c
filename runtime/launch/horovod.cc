// horovodrun with its own (gloo) controller. With MPI as the controller, mpirun's variables are what there is.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {

absl::StatusOr<Claim> ClaimOfHorovod(const LaunchEnvironment& environment) {
  Claim claim;
  if (!environment.Has("HOROVOD_RANK") && !environment.Has("HOROVOD_SIZE")) return claim;
  MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "HOROVOD_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "HOROVOD_SIZE", 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "HOROVOD_LOCAL_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_size, NumberIn(environment, "HOROVOD_LOCAL_SIZE", 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.node_rank, NumberIn(environment, "HOROVOD_CROSS_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.nodes, NumberIn(environment, "HOROVOD_CROSS_SIZE", 1, kMostRanks));
  if (!environment.Has("HOROVOD_GLOO_RENDEZVOUS_PORT")) return claim;
  MR_ASSIGN_OR_RETURN(claim.coordinator,
                      EndpointIn(environment, "HOROVOD_GLOO_RENDEZVOUS_ADDR", "HOROVOD_GLOO_RENDEZVOUS_PORT", 0));
  if (claim.coordinator) {  // horovodrun, on the first host, serves that port itself: ours is the next
    claim.coordinator->value.port = NextPort(claim.coordinator->value.port);
    claim.coordinator->from = absl::StrCat(claim.coordinator->from, ", the next port: horovodrun serves that one");
    claim.coordinator_derived = true;
  }
  return claim;
}

}  // namespace millrace
