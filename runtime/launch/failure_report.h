// Why a job failed, left where the launcher that started it looks: torchrun's error file, Kubernetes' termination
// message, SageMaker's failure file.
#ifndef RUNTIME_LAUNCH_FAILURE_REPORT_H_
#define RUNTIME_LAUNCH_FAILURE_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/launch/launch_environment.h"

namespace millrace {

// Writes to each place that is there:
//   the file of TORCHELASTIC_ERROR_FILE: JSON with message, exit code and time, as torchrun's agent reads it;
//   /dev/termination-log, where it is a file: the message, at most 4,096 bytes;
//   /opt/ml/output/failure, in a container of SageMaker: the message, at most 1,024 bytes.
// Cuts fall between characters. A place that cannot be written is no reason to fail again: the others are still
// written, and its reason is among the answers, one line each.
std::vector<std::string> ReportFailure(const LaunchEnvironment& environment, const absl::Status& status, int exit_code,
                                       absl::Time now);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_FAILURE_REPORT_H_
