// Checks on PartitionOptions that need no graph.
#ifndef PARTITIONER_OPTIONS_H_
#define PARTITIONER_OPTIONS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/partition.h"
#include "runtime/plan/action.h"

namespace millrace {

// INVALID_ARGUMENT names the option, what it is and what it may be.
absl::Status CheckOptions(const PartitionOptions& options);

// Seconds of one micro-batch on all of a rank's stages.
struct RankSeconds {
  double forward = 0, backward_input = 0, backward_weight = 0;
};

// The training schedule that the options ask for. `ranks` is empty, for a first schedule that says how many stages
// there are and where they stand, or has one element for each rank; `transfer_seconds` is what a boundary between ranks
// costs. Stages and their ranks do not depend on the times. INVALID_ARGUMENT for what the kind cannot do. REQUIRES:
// CheckOptions passed, and options.schedule is not "auto" unless there is a custom schedule.
absl::StatusOr<Schedule> ScheduleOf(const PartitionOptions& options, const std::vector<RankSeconds>& ranks,
                                    double transfer_seconds);

// By stage: R where the schedule has such actions, B where the options ask for recomputation, else PHASE_UNSPECIFIED.
// INVALID_ARGUMENT for stages that there are none of. REQUIRES: CheckOptions passed.
absl::StatusOr<std::vector<proto::Phase>> RecomputeOf(const PartitionOptions& options, const Schedule& schedule);

}  // namespace millrace

#endif  // PARTITIONER_OPTIONS_H_
