// PET_*: torchrun's own arguments as variables, which Kubeflow sets in each machine's pod. Whoever reads them does
// torchrun's work: one process a machine stands for all ranks of that machine.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kDefaultPort = 29500;

// "4", or "4:4" as torchrun writes it when the number of machines may not change.
absl::StatusOr<Said<int64_t>> Nodes(const LaunchEnvironment& environment) {
  const std::string* const text = environment.Find("PET_NNODES");
  if (text == nullptr) return Said<int64_t>{1, "no PET_NNODES: 1"};
  const std::pair<std::string, std::string> range = absl::StrSplit(*text, absl::MaxSplits(':', 1));
  if (absl::StrContains(*text, ":") && range.first != range.second) {
    return BadLaunch("PET_NNODES", *text, "one number of machines (a plan has a fixed number of ranks)");
  }
  return ParseNumber(range.first, "PET_NNODES", 1, kMostRanks);
}

// A number; or "auto", "cpu": as many as the job's WORLD_SIZE leaves for each machine, else the cores of this one.
absl::StatusOr<Said<int64_t>> RanksHere(const LaunchEnvironment& environment, int64_t nodes) {
  const std::string* const text = environment.Find("PET_NPROC_PER_NODE");
  if (text == nullptr) return Said<int64_t>{1, "no PET_NPROC_PER_NODE: 1"};
  if (*text != "auto" && *text != "cpu") {
    if (*text == "gpu") return BadLaunch("PET_NPROC_PER_NODE", *text, "a number, auto or cpu");
    return ParseNumber(*text, "PET_NPROC_PER_NODE", 1, kMostRanks);
  }
  MR_ASSIGN_OR_RETURN(const SaidNumber world, NumberIn(environment, "WORLD_SIZE", 1, kMostRanks));
  if (world && world->value % nodes == 0) {
    return Said<int64_t>{world->value / nodes, absl::StrCat("PET_NPROC_PER_NODE=", *text, " of ", world->from)};
  }
  return Said<int64_t>{environment.cores, absl::StrCat("PET_NPROC_PER_NODE=", *text, ", cores: ", environment.cores)};
}

absl::Status SetCoordinator(const LaunchEnvironment& environment, Claim* claim) {
  MR_ASSIGN_OR_RETURN(claim->coordinator, EndpointIn(environment, "PET_MASTER_ADDR", "PET_MASTER_PORT", kDefaultPort));
  const std::string* const rendezvous = environment.Find("PET_RDZV_ENDPOINT");
  if (!claim->coordinator && rendezvous != nullptr && !rendezvous->empty()) {
    MR_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(*rendezvous, "PET_RDZV_ENDPOINT", 29400));
    claim->coordinator = {endpoint, Shown("PET_RDZV_ENDPOINT", *rendezvous)};
  }
  if (!claim->coordinator && claim->nodes->value == 1) {
    claim->coordinator = {{"127.0.0.1", kDefaultPort}, "one machine, no PET_MASTER_ADDR"};
    claim->coordinator_derived = true;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Claim> ClaimOfTorchrunArguments(const LaunchEnvironment& environment) {
  Claim claim;
  if (!environment.Has("PET_NNODES") && !environment.Has("PET_NPROC_PER_NODE") && !environment.Has("PET_NODE_RANK")) {
    return claim;
  }
  if (environment.Has("TORCHELASTIC_RUN_ID")) {
    claim.note = "PET_* were torchrun's arguments, and torchrun has answered";
    return claim;
  }
  MR_ASSIGN_OR_RETURN(claim.nodes, Nodes(environment));
  MR_ASSIGN_OR_RETURN(const Said<int64_t> here, RanksHere(environment, claim.nodes->value));
  const int64_t size = claim.nodes->value * here.value;
  if (size > kMostRanks) {
    return absl::FailedPreconditionError(
        absl::StrCat(claim.nodes->from, " and ", here.from, " make ", size, " ranks; ", kMostRanks, " are the most"));
  }
  claim.size = {size, absl::StrCat(claim.nodes->from, " ", here.from)};
  claim.ranks_here = here.value;
  claim.local_size = here;
  claim.local_rank = {0, here.from};
  MR_ASSIGN_OR_RETURN(claim.node_rank, NumberIn(environment, "PET_NODE_RANK", 0, kMostRanks));
  if (!claim.node_rank && claim.nodes->value == 1) claim.node_rank = {0, "one machine"};
  if (claim.node_rank) {
    if (claim.node_rank->value >= claim.nodes->value) {
      return absl::FailedPreconditionError(
          absl::StrCat(claim.node_rank->from, " is not below ", claim.nodes->from, ": machines count from 0"));
    }
    claim.rank = {claim.node_rank->value * here.value, absl::StrCat(claim.node_rank->from, " ", here.from)};
  }
  MR_RETURN_IF_ERROR(SetCoordinator(environment, &claim));
  return claim;
}

}  // namespace millrace
