// The local launcher: the ranks of a job as processes of this machine, watched, stopped together and started again.
#ifndef RUNTIME_SUPERVISE_SUPERVISOR_H_
#define RUNTIME_SUPERVISE_SUPERVISOR_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace millrace {

struct SuperviseOptions {
  std::vector<std::string> command;  // the same for every rank; the program is looked for in PATH
  int ranks = 1;
  std::string job;        // empty: made up
  std::string plan_hash;  // empty: that of the first rank to join
  std::string version;    // of the program; empty: that of the first rank to join
  std::vector<std::pair<std::string, std::string>> environment;  // over this process's own

  int max_restarts = 0;  // all ranks start again together; to resume is the command's business
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  // Between the first failure and the end of whoever is still there. Ranks learn of the failure at once and may use it
  // to say what they have to say.
  absl::Duration grace = absl::Milliseconds(500);

  bool prefix = true;    // "[rank 2] " before each line
  int out = 1, err = 2;  // where the ranks' output goes
};

struct SuperviseResult {
  // 0; the culprit's own exit code; 128 + its signal; 75 when it hung or only lost its peer; 130 after SIGINT, 75 after
  // SIGTERM and SIGHUP.
  int exit_code = 0;
  int culprit = -1;  // the first rank to die, hang or report an error in the last start; -1: none
  int restarts = 0;
  std::string message;  // why; empty when all went well
};

// Runs the job to its end. It runs the coordinator too, at a free port of the loopback; ranks find it in their
// environment (runtime/rendezvous/environment.h) but need not use it. SIGINT, SIGTERM and SIGHUP to this process are
// forwarded; the second SIGINT removes the ranks at once. When it returns no process, socket or file is left, and when
// this process is killed, the kernel kills the ranks. Not restarted: stopped jobs, and exit codes 2, 65, 66, 78, 93.
//
// An error means that the ranks could not be started. One call at a time in a process, on a thread that lives as long
// as the call.
absl::StatusOr<SuperviseResult> Supervise(const SuperviseOptions& options);

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_SUPERVISOR_H_
