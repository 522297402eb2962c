// One optimizer step of all ranks, and what it came to.
#ifndef RUNTIME_JOB_TRAINING_STEP_H_
#define RUNTIME_JOB_TRAINING_STEP_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/job/progress.h"
#include "runtime/job/ranks.h"
#include "runtime/worker/worker.h"

namespace millrace {

// Settings of step `step` (from 0), of which `optimizer_steps` were not skipped before it.
StepSettings SettingsOf(const proto::JobConfig& config, uint64_t step, uint64_t optimizer_steps);

struct StepOutcome {
  StepReport report;       // the same in every process
  proto::StepTrace trace;  // measured, the ranks here; seconds since rank 0's process began the step
  bool stop = false;       // some process was asked to stop before the step ended: the same in every process
};

struct StepOptions {
  double behind_root = 0;                   // SecondsBehindRoot
  const std::atomic<bool>* stop = nullptr;  // this process's wish; nullptr: none
};

// The ranks' feed must be set. `step` as in SettingsOf. Every process calls it.
absl::StatusOr<StepOutcome> RunTrainingStep(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                            uint64_t step, uint64_t optimizer_steps, const StepOptions& options,
                                            Ranks* ranks);

// In rank 0's process: the trace with the spans of all ranks. Elsewhere: the trace as it is. Every process calls it.
absl::StatusOr<proto::StepTrace> WholeTrace(const proto::StepTrace& trace, Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_TRAINING_STEP_H_
