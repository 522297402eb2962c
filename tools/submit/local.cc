#include "tools/submit/local.h"

#include <unistd.h>

#include <climits>

#include "absl/status/statusor.h"
#include "proto/status_macros.h"
#include "runtime/supervise/supervisor.h"

namespace millrace {
namespace {

// The file of this very program, so that every rank is of the same build.
std::string ThisProgram() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  return length > 0 && length < static_cast<ssize_t>(sizeof(path)) ? std::string(path, length) : "millrace";
}

}  // namespace

std::vector<std::string> LocalCommand(const Submission& submission) {
  Submission here = submission;
  if (here.program == "millrace") here.program = ThisProgram();
  return TrainCommand(here, submission.plan_at.empty() ? submission.plan_path : submission.plan_at, submission.job_path,
                      submission.comm.empty() ? "gloo" : submission.comm);
}

absl::StatusOr<LocalEnd> RunLocally(const Submission& submission) {
  SuperviseOptions options;
  options.command = LocalCommand(submission);
  options.ranks = static_cast<int>(submission.ranks);
  options.max_restarts = static_cast<int>(submission.max_restarts);
  MR_ASSIGN_OR_RETURN(const SuperviseResult result, Supervise(options));
  return LocalEnd{result.exit_code, result.message};
}

}  // namespace millrace
