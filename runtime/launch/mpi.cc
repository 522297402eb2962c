// mpirun and its kin: Open MPI, MPICH and Intel MPI (PMI), and PMIx alone.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

// Numbers whatever names the job: FNV-1a, the same in every rank and every build.
uint64_t HashOf(absl::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

// MPI gives its ranks no meeting place but MPI itself. Where ranks meet over the network all the same: this machine
// when all are on it, else the first address of mpirun's own "job;tcp://a,b:port", on a port made from the job's name.
void SetCoordinator(const LaunchEnvironment& environment, Claim* claim) {
  const std::string* const uri = environment.Find("OMPI_MCA_orte_hnp_uri");
  const std::string* const job = uri != nullptr ? uri : environment.Find("PMIX_NAMESPACE");
  if (job == nullptr || job->size() > 4096) return;
  const absl::string_view name = absl::string_view(*job).substr(0, job->find(';'));
  const int port = PortOfJob(HashOf(name));
  const bool one_machine = claim->size && claim->local_size && claim->size->value == claim->local_size->value;
  std::string host = "127.0.0.1";
  if (!one_machine) {
    const size_t scheme = uri == nullptr ? std::string::npos : uri->find("tcp://");
    if (scheme == std::string::npos) return;
    const absl::string_view rest = absl::string_view(*uri).substr(scheme + 6);
    host = std::string(rest.substr(0, rest.find_first_of(",:")));
    if (!CheckHost(host, "OMPI_MCA_orte_hnp_uri").ok()) return;
  }
  claim->coordinator = {{host, port},
                        absl::StrCat(one_machine ? "all ranks on one machine" : "the host of OMPI_MCA_orte_hnp_uri",
                                     ", port from the job's name")};
  claim->coordinator_derived = true;
}

}  // namespace

absl::StatusOr<Claim> ClaimOfMpi(const LaunchEnvironment& environment) {
  Claim claim;
  if (environment.Has("OMPI_COMM_WORLD_SIZE") || environment.Has("OMPI_COMM_WORLD_RANK")) {
    MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "OMPI_COMM_WORLD_RANK", 0, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "OMPI_COMM_WORLD_SIZE", 1, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.local_size, NumberIn(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", 1, kMostRanks));
    // OMPI_COMM_WORLD_NODE_RANK is not the machine's number but the process's place on it, over all jobs there.
  } else if (environment.Has("PMI_RANK") || environment.Has("PMI_SIZE")) {
    MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "PMI_RANK", 0, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "PMI_SIZE", 1, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "MPI_LOCALRANKID", 0, kMostRanks));
    MR_ASSIGN_OR_RETURN(claim.local_size, NumberIn(environment, "MPI_LOCALNRANKS", 1, kMostRanks));
  } else if (environment.Has("PMIX_RANK") && environment.Has("PMIX_NAMESPACE")) {
    MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "PMIX_RANK", 0, kMostRanks));
    claim.note = "PMIx gives a rank; the size comes from whoever started its server";
  } else {
    return claim;
  }
  SetCoordinator(environment, &claim);
  return claim;
}

}  // namespace millrace
