// A plan on this machine alone: every rank a process of its own, under our supervisor.
#ifndef TOOLS_SUBMIT_LOCAL_H_
#define TOOLS_SUBMIT_LOCAL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/submit/submission.h"

namespace millrace {

// What every rank runs: this program, unless the submission names another.
std::vector<std::string> LocalCommand(const Submission& submission);

struct LocalEnd {
  int exit_code = 0;
  std::string message;  // why, with the rank that was to blame; empty when all went well
};

// Blocks until the job has ended. The supervisor starts the ranks, prefixes their lines, restarts them up to
// max_restarts times, and removes what is left of them (runtime/supervise/supervisor.h). An error: they could not be
// started.
absl::StatusOr<LocalEnd> RunLocally(const Submission& submission);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_LOCAL_H_
