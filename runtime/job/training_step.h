// One optimizer step on all ranks, timed, traced and summed up.
#ifndef RUNTIME_JOB_TRAINING_STEP_H_
#define RUNTIME_JOB_TRAINING_STEP_H_

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
  StepReport report;
  proto::StepTrace trace;  // measured, all ranks
};

// The ranks' feed must be set. `step` as in SettingsOf.
absl::StatusOr<StepOutcome> RunTrainingStep(const proto::ExecutionPlan& plan, const proto::JobConfig& config,
                                            uint64_t step, uint64_t optimizer_steps, Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_TRAINING_STEP_H_
