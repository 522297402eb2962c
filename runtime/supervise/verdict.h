// Whose end ended the job, and the exit code of the whole. Pure.
#ifndef RUNTIME_SUPERVISE_VERDICT_H_
#define RUNTIME_SUPERVISE_VERDICT_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "runtime/rendezvous/job_failure.h"
#include "runtime/supervise/child.h"

namespace millrace {

// What is known of a rank's process when all have ended.
struct RankEnd {
  ChildEnd end;
  bool removed = false;  // by the supervisor, because the job had failed: says nothing of the rank
  std::chrono::steady_clock::time_point at;
};

struct Verdict {
  int exit_code = 0;
  int culprit = -1;     // the rank that ended first; -1: none
  std::string message;  // empty when all went well
  bool may_restart = false;
};

// Exit codes that say "my peer is gone": 69 and 75. The one who is gone is looked for elsewhere.
bool IsConsequence(const ChildEnd& end);

// `failure` is what the coordinator found, if anything; `stop_signal` what was forwarded to the ranks, or 0.
Verdict Judge(const std::vector<RankEnd>& ends, const std::optional<JobFailure>& failure, int stop_signal);

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_VERDICT_H_
