// A plan on this machine alone: every rank a process of its own, under our supervisor.
#ifndef TOOLS_SUBMIT_LOCAL_H_
#define TOOLS_SUBMIT_LOCAL_H_

#include "absl/status/status.h"
#include "tools/submit/submission.h"

namespace millrace {

// Blocks until the job has ended. The supervisor starts the ranks, prefixes their lines, restarts them up to
// max_restarts times, and removes what is left of them.
absl::Status RunLocally(const Submission& submission);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_LOCAL_H_
