// How long a schedule takes: what generators compare their candidates by. SimulateSchedule (runtime/plan/schedule.h)
// tells the whole story; this is the one number, without the story's memory.
#ifndef PARTITIONER_SCHEDULE_SPAN_H_
#define PARTITIONER_SCHEDULE_SPAN_H_

#include <optional>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// The longest span over the ranks (end of the last action - start of the first one); nothing when the ranks wait for
// each other in a circle. REQUIRES: a complete schedule of F and B, W or BW, with or without R; costs of as many
// stages.
std::optional<double> LongestSpan(const Schedule& schedule, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_SPAN_H_
