// The launchers that `millrace submit` writes for, one function and one file each.
#ifndef TOOLS_SUBMIT_LAUNCHERS_H_
#define TOOLS_SUBMIT_LAUNCHERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tools/submit/submission.h"

namespace millrace {

struct Launcher {
  const char* name;           // as --launcher names it
  bool nodes_are_containers;  // a node is a pod or a container, by default one for each rank
  absl::StatusOr<Emission> (*emit)(const Submission& submission);  // the submission has passed CheckSubmission
};

absl::Span<const Launcher> Launchers();
// INVALID_ARGUMENT lists the names.
absl::StatusOr<Launcher> FindLauncher(absl::string_view name);

absl::StatusOr<Emission> EmitMpirun(const Submission& submission);
absl::StatusOr<Emission> EmitTorchrun(const Submission& submission);
absl::StatusOr<Emission> EmitSlurm(const Submission& submission);
absl::StatusOr<Emission> EmitKubernetes(const Submission& submission);
absl::StatusOr<Emission> EmitKubeflow(const Submission& submission);
absl::StatusOr<Emission> EmitSageMaker(const Submission& submission);
absl::StatusOr<Emission> EmitRay(const Submission& submission);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_LAUNCHERS_H_
