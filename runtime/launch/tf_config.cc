// TF_CONFIG: {"cluster": {"chief": [...], "worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/status_macros.h"
#include "runtime/launch/sources.h"

namespace millrace {
namespace {

constexpr char kFrom[] = "TF_CONFIG";
constexpr size_t kLongest = 1 << 20;

absl::Status Bad(absl::string_view why) { return absl::FailedPreconditionError(absl::StrCat(kFrom, ": ", why)); }

const nlohmann::json& In(const nlohmann::json& object, const char* name) {
  static const nlohmann::json* const nothing = new nlohmann::json();
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : *nothing;
}

// The endpoints of one kind of task, appended.
absl::Status Append(const nlohmann::json& cluster, const char* kind, std::vector<Endpoint>* all) {
  const nlohmann::json& list = In(cluster, kind);
  if (list.is_null()) return absl::OkStatus();
  if (!list.is_array() || list.size() > kMostRanks) return Bad(absl::StrCat("cluster.", kind, " is no list"));
  for (const nlohmann::json& entry : list) {
    if (!entry.is_string()) return Bad(absl::StrCat("cluster.", kind, " holds what is no \"host:port\""));
    MR_ASSIGN_OR_RETURN(Endpoint endpoint,
                        ParseEndpoint(entry.get_ref<const std::string&>(), absl::StrCat(kFrom, " cluster.", kind), 0));
    all->push_back(std::move(endpoint));
  }
  return absl::OkStatus();
}

bool IsChief(const std::string& type) { return type == "chief" || type == "master"; }

}  // namespace

absl::StatusOr<Claim> ClaimOfTfConfig(const LaunchEnvironment& environment) {
  Claim claim;
  const std::string* const text = environment.Find(kFrom);
  if (text == nullptr || text->empty()) return claim;
  if (text->size() > kLongest) return Bad(absl::StrCat(text->size(), " bytes; ", kLongest, " are the most"));
  const nlohmann::json config = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Bad(absl::StrCat("not a JSON object (", text->size(), " bytes)"));
  const nlohmann::json& cluster = In(config, "cluster");
  std::vector<Endpoint> tasks;  // chiefs, then workers: TensorFlow numbers them so too
  MR_RETURN_IF_ERROR(Append(cluster, "chief", &tasks));
  MR_RETURN_IF_ERROR(Append(cluster, "master", &tasks));
  const int64_t chiefs = tasks.size();
  MR_RETURN_IF_ERROR(Append(cluster, "worker", &tasks));
  if (tasks.empty()) {
    claim.note = "TF_CONFIG without a cluster: one process";
    return claim;
  }
  const nlohmann::json& type = In(In(config, "task"), "type");
  const nlohmann::json& index = In(In(config, "task"), "index");
  if (!type.is_string()) return Bad("task.type is missing");
  const std::string kind = type.get<std::string>();
  if (kind != "worker" && !IsChief(kind)) {
    return Bad(absl::StrCat("a task of type ", QuotedValue(kind), " trains nothing here; there are chief and worker"));
  }
  const int64_t most = (IsChief(kind) ? chiefs : static_cast<int64_t>(tasks.size()) - chiefs) - 1;
  // Some operators write the index as text.
  const std::string number = index.is_string() ? index.get<std::string>() : index.dump();
  MR_ASSIGN_OR_RETURN(const Said<int64_t> place,
                      ParseNumber(number, "TF_CONFIG task.index", 0, std::max<int64_t>(most, 0)));
  if (most < 0) return Bad(absl::StrCat("the cluster has no ", kind));
  const int64_t rank = place.value + (IsChief(kind) ? 0 : chiefs);
  claim.rank = {rank, absl::StrCat("TF_CONFIG task ", kind, " ", place.value)};
  claim.size = {static_cast<int64_t>(tasks.size()), absl::StrCat("TF_CONFIG cluster of ", tasks.size())};
  claim.coordinator = {tasks[0], absl::StrCat("TF_CONFIG's first ", chiefs > 0 ? "chief" : "worker")};
  return claim;
}

}  // namespace millrace
