// Amazon SageMaker: one process a host, hosts listed in /opt/ml/input/config/resourceconfig.json.
#include "runtime/launch/sagemaker.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr int kPort = 7777;  // SageMaker's own toolkit meets there
constexpr size_t kMostMachines = 4096;

struct Machines {
  std::vector<std::string> hosts;
  std::string current;
  std::string from;
};

std::string ConfigFile(const LaunchEnvironment& environment) {
  return absl::StrCat(SageMakerFolder(environment), "/input/config/resourceconfig.json");
}

absl::StatusOr<std::vector<std::string>> HostsIn(const nlohmann::json& list, const std::string& from) {
  std::vector<std::string> hosts;
  if (!list.is_array() || list.empty() || list.size() > kMostMachines) {
    return absl::FailedPreconditionError(
        absl::StrCat(from, ": a list of 1 to ", kMostMachines, " host names is needed as \"hosts\""));
  }
  for (const nlohmann::json& host : list) {
    if (!host.is_string())
      return absl::FailedPreconditionError(absl::StrCat(from, ": \"hosts\" holds what is no text"));
    MR_RETURN_IF_ERROR(CheckHost(host.get_ref<const std::string&>(), absl::StrCat(from, " hosts")));
    hosts.push_back(host.get<std::string>());
  }
  std::sort(hosts.begin(), hosts.end());  // SageMaker's order is not the same on every host
  if (std::adjacent_find(hosts.begin(), hosts.end()) != hosts.end()) {
    return absl::FailedPreconditionError(absl::StrCat(from, ": a host stands twice in \"hosts\""));
  }
  return hosts;
}

absl::StatusOr<nlohmann::json> ParseObject(const std::string& text, const std::string& from) {
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat(from, ": not a JSON object (", text.size(), " bytes)"));
  }
  return parsed;
}

// The file; SM_CURRENT_HOST, where it is set, says which of its hosts this is.
absl::StatusOr<Machines> MachinesInFile(const LaunchEnvironment& environment, const std::string& text) {
  Machines machines;
  machines.from = ConfigFile(environment);
  MR_ASSIGN_OR_RETURN(const nlohmann::json parsed, ParseObject(text, machines.from));
  MR_ASSIGN_OR_RETURN(machines.hosts, HostsIn(parsed.value("hosts", nlohmann::json()), machines.from));
  const auto current = parsed.find("current_host");
  if (current != parsed.end() && current->is_string()) machines.current = current->get<std::string>();
  return machines;
}

}  // namespace

std::string SageMakerFolder(const LaunchEnvironment& environment) {
  const std::string* const base = environment.Find("SAGEMAKER_BASE_DIR");
  return base != nullptr && absl::StartsWith(*base, "/") ? *base : "/opt/ml";
}

bool IsSageMaker(const LaunchEnvironment& environment) {
  return environment.ReadSmallFile(ConfigFile(environment)).ok();
}

absl::StatusOr<Claim> ClaimOfSageMaker(const LaunchEnvironment& environment) {
  Claim claim;
  Machines machines;
  const absl::StatusOr<std::string> text = environment.ReadSmallFile(ConfigFile(environment));
  if (text.ok()) {
    MR_ASSIGN_OR_RETURN(machines, MachinesInFile(environment, *text));
  } else if (!absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(text.status().message());
  } else if (const std::string* const hosts = environment.Find("SM_HOSTS")) {
    machines.from = "SM_HOSTS";
    const nlohmann::json list = nlohmann::json::parse(*hosts, nullptr, /*allow_exceptions=*/false);
    MR_ASSIGN_OR_RETURN(machines.hosts, HostsIn(list, machines.from));
  } else {
    return claim;
  }
  std::string current_from = absl::StrCat("current_host in ", machines.from);
  if (const std::string* const current = environment.Find("SM_CURRENT_HOST")) {
    machines.current = *current;
    current_from = "SM_CURRENT_HOST";
  }
  const auto here = std::find(machines.hosts.begin(), machines.hosts.end(), machines.current);
  if (here == machines.hosts.end()) {
    return absl::FailedPreconditionError(absl::StrCat(current_from, " is ", QuotedValue(machines.current),
                                                      ", which is not among the hosts of ", machines.from));
  }
  const int64_t rank = here - machines.hosts.begin(), size = machines.hosts.size();
  const std::string from = absl::StrCat(current_from, " ", *here, ", hosts of ", machines.from);
  claim.rank = claim.node_rank = {rank, from};
  claim.size = claim.nodes = {size, from};
  claim.local_rank = {0, "one process a host"};
  claim.local_size = {1, "one process a host"};
  claim.coordinator = {{machines.hosts[0], kPort}, absl::StrCat("first host of ", machines.from)};
  claim.coordinator_derived = true;
  return claim;
}

}  // namespace millrace
