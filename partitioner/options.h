// Checks on PartitionOptions that need no graph.
#ifndef PARTITIONER_OPTIONS_H_
#define PARTITIONER_OPTIONS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/partition.h"
#include "runtime/plan/action.h"

namespace millrace {

// INVALID_ARGUMENT names the option, what it is and what it may be.
absl::Status CheckOptions(const PartitionOptions& options);

// The training schedule that the options ask for. REQUIRES: CheckOptions passed.
absl::StatusOr<Schedule> ScheduleOf(const PartitionOptions& options);

}  // namespace millrace

#endif  // PARTITIONER_OPTIONS_H_
