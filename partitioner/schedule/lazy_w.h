// Moves weight gradients to where a rank would wait: the last step of automatic zero-bubble schedules.
#ifndef PARTITIONER_SCHEDULE_LAZY_W_H_
#define PARTITIONER_SCHEDULE_LAZY_W_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Keeps the order of F and B and plays it against the clock; a W runs where the next F or B is not ready by the time
// that W would end (or, `in_every_gap`, not ready at all), where an F would go over `limit` (in halves of a chunk's
// micro-batch, of which W frees `kept` and B the others), and at the end. Each stage's W's stay in micro-batch order.
// REQUIRES: `schedule` does not deadlock; BW does not occur; `kept` is 1 or 2.
Schedule LazyW(const Schedule& schedule, const ScheduleCosts& costs, int limit, int kept, bool in_every_gap);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_LAZY_W_H_
