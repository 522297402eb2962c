// Which wires a transfer goes over.
#ifndef RUNTIME_PLAN_SCHEDULE_WIRES_H_
#define RUNTIME_PLAN_SCHEDULE_WIRES_H_

#include <array>
#include <vector>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

struct ScheduleWires {
  int count = 0;
  // By stage, what it sends forward and backward; the second is -1 where there is one wire only. Edges inside a rank
  // and beyond the ends have none.
  std::vector<std::array<int, 2>> forward, backward;
};

ScheduleWires WiresOf(const Schedule& schedule, const ScheduleResources& resources);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_WIRES_H_
