#include "tools/submit/local.h"

#include "absl/strings/str_cat.h"
#include "tools/submit/quote.h"

namespace millrace {

absl::Status RunLocally(const Submission& submission) {
  const std::vector<std::string> argv = TrainCommand(submission, submission.plan_path, submission.job_path, "");
  return absl::UnimplementedError(
      absl::StrCat("--launcher=local: this build has no supervisor for processes of one machine. The same ranks as "
                   "threads of one process: ", ShellCommand(argv)));
}

}  // namespace millrace
