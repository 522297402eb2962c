// The message of a schedule that deadlocks.
#ifndef RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_
#define RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_

#include <functional>
#include <string>
#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

// What a stuck rank waits for: an action that has not been executed (B stands for BW too), and what it would bring.
struct ScheduleWait {
  Action missing;
  std::string purpose;  // " to free ..."; empty: the tensor that it makes
};

// The cycle of waits in words, then the lists around where each rank stands (`next`: actions executed), a stuck rank's
// line marked with '!' and the action it stands at in brackets. `wait` tells what a stuck rank waits for. REQUIRES:
// complete lists, some rank before its end.
std::string DescribeDeadlock(const Schedule& schedule, const std::vector<size_t>& next,
                             const std::function<ScheduleWait(int rank)>& wait);

// Where every wait is for the neighbour's tensor.
std::string DescribeDeadlock(const Schedule& schedule, const std::vector<size_t>& next);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_DEADLOCK_H_
