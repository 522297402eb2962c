// Cloud TPU: the same program on each host of a slice; its place stands on the metadata server, or in TPU_* variables.
// Millrace does not compute on TPUs; the hosts' processors and whatever else they hold can still be a job.
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/status_macros.h"
#include "runtime/launch/http_get.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kPort = 8476;
constexpr size_t kMostHosts = 65536;
constexpr char kAttributes[] = "/computeMetadata/v1/instance/attributes/";

// Where the metadata server is, or "" when nothing says that this is a machine with one. Asking everywhere would make
// every start wait for a name that does not resolve.
std::string ServerOf(const LaunchEnvironment& environment) {
  if (!environment.metadata_url.empty()) return environment.metadata_url;
  for (const char* variable : {"GCE_METADATA_IP", "GCE_METADATA_HOST"}) {
    const std::string* const host = environment.Find(variable);
    if (host != nullptr && !host->empty()) return absl::StrCat("http://", *host);
  }
  const absl::StatusOr<std::string> maker = environment.ReadSmallFile("/sys/class/dmi/id/product_name");
  const bool google = maker.ok() && absl::StartsWith(*maker, "Google");
  const bool tpu = environment.Has("TPU_NAME") || environment.Has("TPU_ACCELERATOR_TYPE") ||
                   environment.Has("TPU_CHIPS_PER_HOST_BOUNDS");
  return google && tpu ? "http://169.254.169.254" : "";
}

struct Slice {
  std::string worker, worker_from;  // this host's number
  std::vector<std::string> hosts;
  std::string hosts_from;
};

absl::StatusOr<std::string> Ask(const LaunchEnvironment& environment, const std::string& server,
                                absl::string_view attribute) {
  const absl::StatusOr<std::string> answer =
      HttpGet(absl::StrCat(server, kAttributes, attribute), "Metadata-Flavor: Google", environment.metadata_timeout);
  if (answer.ok()) return std::string(absl::StripAsciiWhitespace(*answer));
  return answer.status();
}

// "unknown:unknown:10.0.0.2,unknown:unknown:10.0.0.3": the address comes last.
std::vector<std::string> AddressesOf(absl::string_view endpoints) {
  std::vector<std::string> hosts;
  for (const absl::string_view endpoint : absl::StrSplit(endpoints, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(endpoint, ':');
    hosts.emplace_back(parts.size() >= 3 ? parts[2] : parts[0]);
  }
  return hosts;
}

absl::StatusOr<Slice> SliceOnServer(const LaunchEnvironment& environment, const std::string& server) {
  Slice slice;
  MR_ASSIGN_OR_RETURN(slice.worker, Ask(environment, server, "agent-worker-number"));
  MR_ASSIGN_OR_RETURN(const std::string endpoints, Ask(environment, server, "worker-network-endpoints"));
  slice.worker_from = "metadata agent-worker-number";
  slice.hosts_from = "metadata worker-network-endpoints";
  slice.hosts = AddressesOf(endpoints);
  return slice;
}

// Several slices as one job: slice by slice.
absl::Status AddSlices(const LaunchEnvironment& environment, Claim* claim) {
  MR_ASSIGN_OR_RETURN(const SaidNumber slices, NumberIn(environment, "MEGASCALE_NUM_SLICES", 1, 4096));
  MR_ASSIGN_OR_RETURN(const SaidNumber slice, NumberIn(environment, "MEGASCALE_SLICE_ID", 0, 4095));
  if (!slices || !slice) return absl::OkStatus();
  const int64_t hosts = claim->size->value;
  claim->rank = {slice->value * hosts + claim->rank->value, absl::StrCat(slice->from, " ", claim->rank->from)};
  claim->size = {slices->value * hosts, absl::StrCat(slices->from, " ", claim->size->from)};
  if (const std::string* const leader = environment.Find("MEGASCALE_COORDINATOR_ADDRESS")) {
    MR_ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(*leader, "MEGASCALE_COORDINATOR_ADDRESS", kPort));
    endpoint.port = kPort;  // the one it names is libtpu's
    claim->coordinator = {endpoint, Shown("MEGASCALE_COORDINATOR_ADDRESS", *leader)};
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Claim> ClaimOfTpu(const LaunchEnvironment& environment) {
  Claim claim;
  Slice slice;
  const std::string* const worker = environment.Find("TPU_WORKER_ID");
  const std::string* const hosts = environment.Find("TPU_WORKER_HOSTNAMES");
  if (worker != nullptr && hosts != nullptr) {
    slice = {*worker, "TPU_WORKER_ID", AddressesOf(*hosts), "TPU_WORKER_HOSTNAMES"};
  } else {
    const std::string server = ServerOf(environment);
    if (server.empty()) return claim;
    const absl::StatusOr<Slice> found = SliceOnServer(environment, server);
    if (absl::IsNotFound(found.status()) || absl::IsUnavailable(found.status())) {
      claim.note = std::string(found.status().message());  // a cloud machine, but none of a slice
      return claim;
    }
    if (!found.ok()) return absl::FailedPreconditionError(found.status().message());
    slice = *found;
  }
  if (slice.hosts.empty() || slice.hosts.size() > kMostHosts) {
    return absl::FailedPreconditionError(absl::StrCat(slice.hosts_from, ": ", slice.hosts.size(), " hosts"));
  }
  for (const std::string& host : slice.hosts) MR_RETURN_IF_ERROR(CheckHost(host, slice.hosts_from));
  const int64_t size = slice.hosts.size();
  MR_ASSIGN_OR_RETURN(claim.rank, ParseNumber(slice.worker, slice.worker_from, 0, size - 1));
  claim.size = {size, absl::StrCat(slice.hosts_from, " names ", size)};
  claim.local_rank = {0, "one process a host"};
  claim.local_size = {1, "one process a host"};
  claim.coordinator = {{slice.hosts[0], kPort}, absl::StrCat("first of ", slice.hosts_from)};
  claim.coordinator_derived = true;
  MR_RETURN_IF_ERROR(AddSlices(environment, &claim));
  return claim;
}

}  // namespace millrace
