// Puts actions R, a stage's forward pass once more, where a rank would wait anyway.
#ifndef PARTITIONER_SCHEDULE_PLACE_RECOMPUTE_H_
#define PARTITIONER_SCHEDULE_PLACE_RECOMPUTE_H_

#include <vector>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// `schedule` with an R before every backward pass of the stages that `recomputes` marks; the order of all other actions
// stays. An R stands right before its B or BW, so that it fills the wait for the gradient, or earlier, in another wait,
// where that makes the longest span shorter: as few micro-batches ahead as will do, and of the places that do as well
// the latest, because what R makes is held from there to B. A pure function of its arguments.
//
// A stage that has R's already keeps them. REQUIRES: a schedule that VerifySchedule accepts; `recomputes` and the costs
// have an element for each stage; costs.recompute is the time of R, of the forward pass where it is empty.
Schedule PlaceRecompute(const Schedule& schedule, const ScheduleCosts& costs, const std::vector<bool>& recomputes);

// `costs` of a stage that makes its activations again inside B: B takes as much longer.
ScheduleCosts RecomputeInside(const ScheduleCosts& costs, const std::vector<bool>& recomputes);

// What recomputation costs a schedule, in longest spans.
struct RecomputeSpans {
  double without = 0, inside = 0, placed = 0;
  // The share of what recomputation inside B adds to the span that placing it takes away again:
  // 1 - (placed - without) / (inside - without). 0 where inside adds nothing.
  double hidden = 0;
};

// Of one order of F, B and W: as it is, with B longer, and with the R's of PlaceRecompute. `schedule` has no R.
RecomputeSpans SpansOfRecompute(const Schedule& schedule, const ScheduleCosts& costs,
                                const std::vector<bool>& recomputes);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_PLACE_RECOMPUTE_H_
