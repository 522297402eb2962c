// Slurm: a task that srun started.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/launch/nodelist.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

// sbatch's script has a SLURM_PROCID too, always 0, and so has whatever it starts by mpirun or torchrun: an allocation
// and no task. srun's tasks know their step.
bool IsAllocationOnly(const LaunchEnvironment& environment) {
  for (const char* of_a_step :
       {"SLURM_STEP_ID", "SLURM_STEPID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"}) {
    if (environment.Has(of_a_step)) return false;
  }
  const std::string* const task = environment.Find("SLURM_PROCID");
  const std::string* const kind = environment.Find("ENVIRONMENT");
  const bool other_launcher =
      environment.Has("OMPI_COMM_WORLD_SIZE") || environment.Has("PMI_RANK") || environment.Has("TORCHELASTIC_RUN_ID");
  return task == nullptr || (*task == "0" && ((kind != nullptr && *kind == "BATCH") || other_launcher));
}

absl::Status WithName(const absl::Status& status, absl::string_view variable) {
  return absl::FailedPreconditionError(absl::StrCat(variable, "=", status.message()));
}

absl::Status SetCoordinator(const LaunchEnvironment& environment, Claim* claim) {
  for (const char* variable : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}) {
    const std::string* const list = environment.Find(variable);
    if (list == nullptr) continue;
    const absl::StatusOr<std::vector<std::string>> hosts = ExpandNodelist(*list);
    if (!hosts.ok()) return WithName(hosts.status(), variable);
    MR_RETURN_IF_ERROR(CheckHost(hosts->front(), variable));
    MR_ASSIGN_OR_RETURN(const SaidNumber job, NumberIn(environment, "SLURM_JOB_ID", 0, int64_t{1} << 40));
    claim->coordinator = {{hosts->front(), PortOfJob(job->value)},
                          absl::StrCat("first host of ", Shown(variable, *list), ", port from ", job->from)};
    claim->coordinator_derived = true;
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status SetLocalSize(const LaunchEnvironment& environment, Claim* claim) {
  if (!claim->node_rank) return absl::OkStatus();
  for (const char* variable : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    const std::string* const counts = environment.Find(variable);
    if (counts == nullptr) continue;
    const absl::StatusOr<int64_t> tasks = TasksOfHost(*counts, claim->node_rank->value);
    if (!tasks.ok()) return WithName(tasks.status(), variable);
    if (*tasks >= 1 && *tasks <= kMostRanks) claim->local_size = {*tasks, Shown(variable, *counts)};
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Claim> ClaimOfSlurm(const LaunchEnvironment& environment) {
  Claim claim;
  if (!environment.Has("SLURM_JOB_ID")) return claim;
  if (IsAllocationOnly(environment)) {
    claim.note = "SLURM_JOB_ID is set, but this is no task of srun: an allocation says nothing of ranks";
    return claim;
  }
  MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "SLURM_PROCID", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(
      claim.size, FirstNumberIn(environment, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"}, 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "SLURM_LOCALID", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.node_rank, NumberIn(environment, "SLURM_NODEID", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.nodes, FirstNumberIn(environment, {"SLURM_STEP_NUM_NODES", "SLURM_NNODES"}, 1, kMostRanks));
  MR_RETURN_IF_ERROR(SetLocalSize(environment, &claim));
  MR_RETURN_IF_ERROR(SetCoordinator(environment, &claim));
  return claim;
}

}  // namespace millrace
