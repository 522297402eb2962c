// Our own words: the flags of the command line, and MILLRACE_*, which our supervisor and our manifests set.
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kDefaultPort = 29500;

absl::StatusOr<SaidNumber> FlagNumber(int64_t value, absl::string_view flag, int64_t least) {
  if (value == -1) return SaidNumber();
  MR_ASSIGN_OR_RETURN(Said<int64_t> number, ParseNumber(absl::StrCat(value), flag, least, kMostRanks));
  return SaidNumber(std::move(number));
}

}  // namespace

absl::StatusOr<Claim> ClaimOfFlags(const LaunchEnvironment& environment) {
  const LaunchFlags& flags = environment.flags;
  Claim claim;
  MR_ASSIGN_OR_RETURN(claim.rank, FlagNumber(flags.rank, "--rank", 0));
  MR_ASSIGN_OR_RETURN(claim.size, FlagNumber(flags.size, "--size", 1));
  MR_ASSIGN_OR_RETURN(claim.local_rank, FlagNumber(flags.local_rank, "--local-rank", 0));
  if (!flags.coordinator.empty()) {
    MR_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(flags.coordinator, "--coordinator", kDefaultPort));
    claim.coordinator = {endpoint, absl::StrCat("--coordinator=", ToString(endpoint))};
  }
  return claim;
}

absl::StatusOr<Claim> ClaimOfMillrace(const LaunchEnvironment& environment) {
  Claim claim;
  MR_ASSIGN_OR_RETURN(claim.rank, NumberIn(environment, "MILLRACE_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "MILLRACE_SIZE", 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_rank, NumberIn(environment, "MILLRACE_LOCAL_RANK", 0, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.local_size, NumberIn(environment, "MILLRACE_LOCAL_SIZE", 1, kMostRanks));
  MR_ASSIGN_OR_RETURN(claim.node_rank, NumberIn(environment, "MILLRACE_NODE_RANK", 0, kMostRanks));
  if (const std::string* const text = environment.Find("MILLRACE_COORDINATOR")) {
    MR_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(*text, "MILLRACE_COORDINATOR", kDefaultPort));
    claim.coordinator = {endpoint, Shown("MILLRACE_COORDINATOR", *text)};
  }
  return claim;
}

}  // namespace millrace
