// Is a schedule one that can be lowered?
#ifndef PARTITIONER_SCHEDULE_CHECK_SCHEDULE_H_
#define PARTITIONER_SCHEDULE_CHECK_SCHEDULE_H_

#include "absl/status/status.h"
#include "runtime/plan/action.h"

namespace millrace {

// INVALID_ARGUMENT names the action at fault: stages on ranks that exist, each action on its stage's rank; for every
// stage and micro-batch one F, then either one BW or one B and later one W; backward and weight passes of a stage in
// micro-batch order, in which gradients are added. Whether the ranks wait for each other in a circle shows only when
// the schedule meets a graph: lowering says so.
absl::Status CheckTrainSchedule(const Schedule& schedule);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_CHECK_SCHEDULE_H_
