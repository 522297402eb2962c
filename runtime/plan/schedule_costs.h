// Are the costs and resources of a schedule such that its clock can run?
#ifndef RUNTIME_PLAN_SCHEDULE_COSTS_H_
#define RUNTIME_PLAN_SCHEDULE_COSTS_H_

#include "absl/status/status.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// One value per stage, finite and not negative, bandwidths and slots above 0, and no sum of times or memory that
// overflows. INVALID_ARGUMENT names the value.
absl::Status CheckCosts(const Schedule& schedule, const ScheduleCosts& costs, const ScheduleResources& resources);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_COSTS_H_
