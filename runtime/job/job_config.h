// The settings of a run: what they are when nobody says, and which are refused.
#ifndef RUNTIME_JOB_JOB_CONFIG_H_
#define RUNTIME_JOB_JOB_CONFIG_H_

#include "absl/status/status.h"
#include "proto/job.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// Every field that has a usual value has it: a tool lays files and flags over this. In JobConfig itself an unset number
// is 0, and 0 is what the run then uses.
proto::JobConfig DefaultJobConfig();

// INVALID_ARGUMENT names the setting, its value and what it must be for this plan.
absl::Status CheckJobConfig(const proto::JobConfig& config, const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // RUNTIME_JOB_JOB_CONFIG_H_
