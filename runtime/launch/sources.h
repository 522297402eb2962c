// The launchers whose contracts are honoured, one function and one file each. A function reads its own variables and
// files only, and answers with what they say: nothing where there is nothing, FAILED_PRECONDITION where a value cannot
// be. How sources are weighed against each other is detect.h's business.
#ifndef RUNTIME_LAUNCH_SOURCES_H_
#define RUNTIME_LAUNCH_SOURCES_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/launch/claim.h"
#include "runtime/launch/launch_environment.h"

namespace millrace {

struct LaunchSource {
  const char* key;         // as MILLRACE_LAUNCH names it: "torchrun"
  const char* name;        // as messages name it: "torchrun or env://"
  const char* looked_for;  // what makes it speak
  absl::StatusOr<Claim> (*ask)(const LaunchEnvironment& environment);
};

// In the documented order (docs/launching.md): the first is believed before the second.
absl::Span<const LaunchSource> LaunchSources();

absl::StatusOr<Claim> ClaimOfFlags(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfMillrace(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfTorchrun(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfTorchrunArguments(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfMpi(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfSlurm(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfHorovod(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfSageMaker(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfKubernetes(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfTfConfig(const LaunchEnvironment& environment);
absl::StatusOr<Claim> ClaimOfTpu(const LaunchEnvironment& environment);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_SOURCES_H_
