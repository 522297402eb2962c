// torchrun, and every launcher that sets what PyTorch's env:// reads: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kDefaultPort = 29500;

// torchrun's agent may keep its own store on MASTER_PORT, where PyTorch's workers are its clients. Then the port is
// taken on that machine, and ours is the next one.
absl::Status SetCoordinator(const LaunchEnvironment& environment, Claim* claim) {
  MR_ASSIGN_OR_RETURN(claim->coordinator, EndpointIn(environment, "MASTER_ADDR", "MASTER_PORT", kDefaultPort));
  const std::string* const store = environment.Find("TORCHELASTIC_USE_AGENT_STORE");
  if (claim->coordinator && store != nullptr && (*store == "True" || *store == "true" || *store == "1")) {
    Said<Endpoint>& said = *claim->coordinator;
    said.value.port = NextPort(said.value.port);
    said.from = absl::StrCat(said.from, ", the next port: torchrun's agent serves that one");
    claim->coordinator_derived = true;
  }
  return absl::OkStatus();
}

// Kubeflow's PyTorchJob gives RANK to a machine and counts processes in WORLD_SIZE; whoever starts several processes a
// machine has to reckon. Without torchrun, which would have set LOCAL_RANK, that is us.
absl::Status WidenToMachine(const LaunchEnvironment& environment, Claim* claim) {
  if (claim->local_rank || !environment.Has("PET_NODE_RANK") || !environment.Has("PET_NPROC_PER_NODE") ||
      !environment.Has("PET_NNODES")) {
    return absl::OkStatus();
  }
  MR_ASSIGN_OR_RETURN(const Claim machine, ClaimOfTorchrunArguments(environment));
  const bool rank_is_machine = machine.ranks_here > 1 && machine.node_rank && machine.size &&
                               machine.node_rank->value == claim->rank->value &&
                               machine.size->value == claim->size->value;
  if (!rank_is_machine) return absl::OkStatus();
  claim->note = absl::StrCat(claim->rank->from, " is the machine's: it is PET_NODE_RANK too, and WORLD_SIZE counts ",
                             machine.ranks_here, " processes a machine");
  claim->rank = machine.rank;
  claim->ranks_here = machine.ranks_here;
  claim->node_rank = machine.node_rank;
  claim->nodes = machine.nodes;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Claim> ClaimOfTorchrun(const LaunchEnvironment& environment) {
  const bool agent = environment.Has("TORCHELASTIC_RUN_ID");
  const bool ranked = environment.Has("RANK") && environment.Has("WORLD_SIZE");
  Claim claim;
  if (agent && !ranked) {
    return absl::FailedPreconditionError(
        absl::StrCat("torchrun's TORCHELASTIC_RUN_ID is set, but ", environment.Has("RANK") ? "WORLD_SIZE" : "RANK",
                     " is not: torchrun sets both. Unset what is left over, or start with torchrun"));
  }
  MR_RETURN_IF_ERROR(SetCoordinator(environment, &claim));
  if (!ranked) {
    if (claim.coordinator) claim.note = "no rank: RANK and WORLD_SIZE are not both set";
    return claim;
  }
  MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "WORLD_SIZE", 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "LOCAL_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_size, NumberIn(environment, "LOCAL_WORLD_SIZE", 1, kMostRanks));
  // Ray says NODE_RANK where torchrun says GROUP_RANK.
  MR_ASSIGN_OR_RETURN(claim.node_rank, FirstNumberIn(environment, {"GROUP_RANK", "NODE_RANK"}, 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.nodes, NumberIn(environment, "GROUP_WORLD_SIZE", 1, kMostRanks));
  claim.own_order = agent;
  if (!agent) MR_RETURN_IF_ERROR(WidenToMachine(environment, &claim));
  return claim;
}

}  // namespace millrace
