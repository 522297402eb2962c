// Do all processes of a run mean the same run?
#ifndef RUNTIME_JOB_SAME_RUN_H_
#define RUNTIME_JOB_SAME_RUN_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/job.pb.h"
#include "proto/plan.pb.h"
#include "runtime/job/ranks.h"

namespace millrace {

// FAILED_PRECONDITION in every process when one has another plan, or another job in what changes the numbers or the
// steps. Folders, paths, threads and how much is said may differ.
absl::Status CheckSameRun(const proto::ExecutionPlan& plan, const proto::JobConfig& config, Ranks* ranks);

// The same for any text: `what` names it. At most a few thousand bytes.
absl::Status CheckSameText(absl::string_view what, absl::string_view mine, Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_SAME_RUN_H_
