// What a run has come to, for programs and people. Losses from before a resume were read back from the tables: 9
// digits.
#ifndef RUNTIME_JOB_RESULTS_H_
#define RUNTIME_JOB_RESULTS_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "proto/plan.pb.h"

namespace millrace {

struct RunResults {
  uint64_t steps = 0;            // done, over all resumes
  uint64_t optimizer_steps = 0;  // of these, not skipped
  uint64_t samples = 0;
  uint64_t tokens = 0;
  double final_loss = std::numeric_limits<double>::quiet_NaN();       // of the last step
  double held_out_before = std::numeric_limits<double>::quiet_NaN();  // NaN: not measured
  double held_out_after = std::numeric_limits<double>::quiet_NaN();
  double seconds_per_step = 0;  // mean since the last start, without its first step
  double tokens_per_second = 0;
  double bubble = 0;  // measured, of the last step
  double mfu = 0;     // 0: unknown
  std::string weights_sha256;
  std::string sample;  // prompt included; empty: none
  std::string data;
  std::string device;  // "cpu: AMD EPYC ..."
  int threads_per_rank = 0;
};

// One JSON object. Numbers that were not measured are null.
std::string ResultsJson(const RunResults& results, const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // RUNTIME_JOB_RESULTS_H_
