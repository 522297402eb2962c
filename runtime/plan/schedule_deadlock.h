// The message of a schedule that deadlocks.
#ifndef RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_
#define RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_

#include <string>
#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

// The cycle of waits in words, then the lists around where each rank stands (`next`: actions executed), a stuck rank's
// line marked with '!' and the action it stands at in brackets. REQUIRES: complete lists, some rank before its end.
std::string DescribeDeadlock(const Schedule& schedule, const std::vector<size_t>& next);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_
