// What every pod that trains has in common, whoever starts it: the container, where plan, job, token and data are, and
// the objects beside it that these come from.
#ifndef TOOLS_SUBMIT_POD_H_
#define TOOLS_SUBMIT_POD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "tools/submit/submission.h"

namespace millrace {

// name, namespace, labels.
nlohmann::ordered_json ObjectMetadata(const Submission& submission);

// The ConfigMap with plan and job, where they travel with the manifest, and the Secret with the job's token. A plan too
// large for a ConfigMap is refused with --volume and --plan-at as the way out.
absl::StatusOr<std::vector<nlohmann::ordered_json>> PodObjects(const Submission& submission);

// A pod's specification with one container, which runs `argv` with `variables` ({"name", "value"} or "valueFrom"). It
// needs no rights: any user, no capabilities, a root file system that is read only.
nlohmann::ordered_json PodSpec(const Submission& submission, absl::string_view container,
                               const std::vector<std::string>& argv, nlohmann::ordered_json variables);

// `millrace train` as a pod calls it, with --out on the volume unless the job or a flag says where.
std::vector<std::string> PodTrainCommand(const Submission& submission, absl::string_view comm);

// {"name": ..., "value": ...}
nlohmann::ordered_json Variable(absl::string_view name, absl::string_view value);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_POD_H_
