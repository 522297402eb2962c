// Checks on PartitionOptions that need no graph.
#ifndef PARTITIONER_OPTIONS_H_
#define PARTITIONER_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/lower/recompute.h"
#include "partitioner/partition.h"
#include "runtime/plan/action.h"

namespace millrace {

// INVALID_ARGUMENT names the option, what it is and what it may be.
absl::Status CheckOptions(const PartitionOptions& options);

// How many ranks the plan has. REQUIRES: CheckOptions passed.
int RanksOf(const PartitionOptions& options);

// Over replicas first? As asked for, or as the sharding level wants it. REQUIRES: CheckOptions passed.
bool SumsReplicasFirst(const PartitionOptions& options);

// Seconds of one micro-batch on a stage, and of a transfer over the boundary to the next one.
struct StageSeconds {
  double forward = 0, backward_input = 0, backward_weight = 0, transfer = 0;
  double recompute = 0;  // of an action R
};

// The training schedule that the options ask for. `stages` is empty, for a first schedule that says how many stages
// there are and where they stand, or has one element for each of them. `weight_stash` is, of what a stage holds from F
// to B, the share that it holds from B to W. Stages and their ranks do not depend on the times. INVALID_ARGUMENT for
// what the kind cannot do, and for stages to recompute that there are none of. REQUIRES: CheckOptions passed, and
// options.schedule is not "auto" unless there is a custom schedule.
absl::StatusOr<Schedule> ScheduleOf(const PartitionOptions& options, const std::vector<StageSeconds>& stages,
                                    double weight_stash);

// By stage: R where the schedule has such actions, B where the options ask for recomputation.
// INVALID_ARGUMENT for stages that there are none of. REQUIRES: CheckOptions passed.
absl::StatusOr<std::vector<StageRecompute>> RecomputeOf(const PartitionOptions& options, const Schedule& schedule);

// Program.recompute: what was asked for, in words.
std::string RecomputeText(const PartitionOptions& options, const std::vector<StageRecompute>& stages);

}  // namespace millrace

#endif  // PARTITIONER_OPTIONS_H_
