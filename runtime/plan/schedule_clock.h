// The event engine under SimulateSchedule: when each action and each transfer runs, and what it waited for.
#ifndef RUNTIME_PLAN_SCHEDULE_CLOCK_H_
#define RUNTIME_PLAN_SCHEDULE_CLOCK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// What came last of all that an action or a transfer waited for: it begins when that ends.
struct ScheduleCause {
  enum Kind : char {
    kNothing,  // it begins at time 0
    kAction,   // rank `a`'s action at position `b`
    kArrival,  // transfer `a` arrived
    kLeaving,  // transfer `a` left its wires, and a send slot
  };
  Kind kind = kNothing;
  int a = 0, b = 0;
};

struct ScheduleTimeline {
  std::vector<std::vector<TimedAction>> ranks;
  std::vector<std::vector<ScheduleCause>> causes;  // by rank and position
  std::vector<TimedTransfer> transfers;            // in the order in which they were admitted
  std::vector<ScheduleCause> transfer_causes;
  std::vector<ScheduleIdle> idle;  // without after_last
};

// REQUIRES: checked costs and resources. INVALID_ARGUMENT when ranks wait for each other in a circle.
absl::StatusOr<ScheduleTimeline> RunClock(const Schedule& schedule, const ScheduleCosts& costs,
                                          const ScheduleResources& resources);

double DurationOf(const Action& action, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_CLOCK_H_
