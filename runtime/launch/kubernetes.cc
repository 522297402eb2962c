// Kubernetes: a pod of an Indexed Job, also one that a JobSet made.
#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kDefaultPort = 29500;

// The full name that the cluster wrote into /etc/hosts for a pod with a subdomain:
// "10.1.2.3  job-1.svc.space.svc.cluster.local  job-1". Empty: there is none.
std::string FullNameOf(const LaunchEnvironment& environment, const std::string& host) {
  const absl::StatusOr<std::string> hosts = environment.ReadSmallFile("/etc/hosts");
  if (!hosts.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*hosts, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() < 2 || words[0][0] == '#') continue;
    for (const std::string& word : words) {
      if (absl::StartsWith(word, absl::StrCat(host, "."))) return word;
    }
  }
  return "";
}

// Pods of an Indexed Job are named <job>-<index>, and found as <job>-<index>.<subdomain> where the pod template has
// one.
absl::Status SetCoordinator(const LaunchEnvironment& environment, int64_t index, Claim* claim) {
  const std::string* const variable = environment.Find("HOSTNAME");
  const std::string host = environment.host_name.empty() && variable != nullptr ? *variable : environment.host_name;
  absl::string_view job = host;
  if (!absl::ConsumeSuffix(&job, absl::StrCat("-", index)) || job.empty() || !CheckHost(host, "host name").ok()) {
    claim->note =
        absl::StrCat("the host name ", QuotedValue(host), " does not end in the index: no coordinator from it");
    return absl::OkStatus();
  }
  const std::string full = FullNameOf(environment, host);
  if (full.empty()) {
    claim->note =
        "no line of /etc/hosts gives this pod a subdomain: no coordinator; the pod template needs one, and a "
        "headless service of that name";
    return absl::OkStatus();
  }
  const std::string first = absl::StrCat(job, "-0", absl::string_view(full).substr(host.size()));
  MR_RETURN_IF_ERROR(CheckHost(first, "/etc/hosts"));
  claim->coordinator = {{first, kDefaultPort}, absl::StrCat("pod 0 of this job: /etc/hosts names this one ", full)};
  claim->coordinator_derived = true;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Claim> ClaimOfKubernetes(const LaunchEnvironment& environment) {
  Claim claim;
  if (!environment.Has("JOB_COMPLETION_INDEX") || !environment.Has("KUBERNETES_SERVICE_HOST")) return claim;
  MR_ASSIGN_OR_RETURN(claim.node_rank, NumberIn(environment, "JOB_COMPLETION_INDEX", 0, kMostRanks));
  // The number of pods stands in the job's specification, which no pod sees: WORLD_SIZE is the way to say it. Beside a
  // RANK it is torchrun's.
  if (environment.Has("WORLD_SIZE") && !environment.Has("RANK")) {
    MR_ASSIGN_OR_RETURN(claim.size, NumberIn(environment, "WORLD_SIZE", 1, kMostRanks));
    claim.rank = claim.node_rank;
  }
  MR_RETURN_IF_ERROR(SetCoordinator(environment, claim.node_rank->value, &claim));
  return claim;
}

}  // namespace millrace
