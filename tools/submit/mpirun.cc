// mpirun (Open MPI): the command itself.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "kernels/cores.h"
#include "tools/submit/launchers.h"

namespace millrace {

absl::StatusOr<Emission> EmitMpirun(const Submission& submission) {
  Emission emission;
  emission.can_run = true;
  emission.argv = {"mpirun", "-np", absl::StrCat(submission.ranks)};
  if (!submission.hostfile.empty()) {
    emission.argv.insert(emission.argv.end(), {"--hostfile", submission.hostfile, "--map-by",
                                               absl::StrCat("ppr:", submission.ranks_per_node, ":node")});
  } else if (submission.ranks > FindAllowedCores("").cores) {
    emission.argv.push_back("--oversubscribe");  // mpirun refuses more ranks than cores otherwise
  }
  if (geteuid() == 0) emission.argv.push_back("--allow-run-as-root");
  const std::vector<std::string> train =
      TrainCommand(submission, submission.plan_at.empty() ? submission.plan_path : submission.plan_at,
                   submission.job_path, submission.comm.empty() ? "mpi" : submission.comm);
  emission.argv.insert(emission.argv.end(), train.begin(), train.end());
  if (submission.nodes > 1) {
    emission.notes.push_back("every host needs the plan, the job and the data at the same paths; MPI does not encrypt");
  }
  return emission;
}

}  // namespace millrace
