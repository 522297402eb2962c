// torchrun: the command itself; over several machines the same line on each, with its number.
#include "absl/strings/str_cat.h"
#include "tools/submit/launchers.h"

namespace millrace {

absl::StatusOr<Emission> EmitTorchrun(const Submission& submission) {
  Emission emission;
  // Underscores are understood by every version; so are -r and -t, without which some fail under Python 3.11. They
  // also put each rank's name before its lines.
  emission.argv = {"torchrun", "-r", "1", "-t", "1"};
  if (submission.nodes == 1) {
    emission.can_run = true;
    emission.argv.push_back("--standalone");
  } else {
    if (submission.coordinator.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "torchrun over ", submission.nodes, " machines needs --coordinator=HOST:PORT, a port of the first machine"));
    }
    const size_t colon = submission.coordinator.rfind(':');
    if (colon == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--coordinator=", submission.coordinator, ": host:port is needed"));
    }
    emission.argv.insert(emission.argv.end(),
                         {absl::StrCat("--nnodes=", submission.nodes), "--node_rank=NODE",
                          absl::StrCat("--master_addr=", submission.coordinator.substr(0, colon)),
                          absl::StrCat("--master_port=", submission.coordinator.substr(colon + 1))});
    emission.notes.push_back(absl::StrCat("give it on each machine, with NODE from 0 to ", submission.nodes - 1,
                                          "; every machine needs the plan, the job and the data at the same paths"));
  }
  emission.argv.push_back(absl::StrCat("--nproc_per_node=", submission.ranks_per_node));
  emission.argv.push_back(absl::StrCat("--max_restarts=", submission.max_restarts));
  emission.argv.push_back("--no_python");
  const std::vector<std::string> train =
      TrainCommand(submission, submission.plan_at.empty() ? submission.plan_path : submission.plan_at,
                   submission.job_path, submission.comm.empty() ? "gloo" : submission.comm);
  emission.argv.insert(emission.argv.end(), train.begin(), train.end());
  return emission;
}

}  // namespace millrace
