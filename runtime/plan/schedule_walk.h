// Executes the lists of a schedule without a clock: the engine under its proof and its simulation.
#ifndef RUNTIME_PLAN_SCHEDULE_WALK_H_
#define RUNTIME_PLAN_SCHEDULE_WALK_H_

#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/plan/action.h"

namespace millrace {

// What `action` needs from another stage: F the F of the stage before, B and BW the backward pass of the stage after
// (named B here, whichever it is). Nothing for the outer stages, W and R: what they need their own list holds before
// them.
std::optional<Action> NeighbourInput(const Schedule& schedule, const Action& action);

// Lets every rank execute its list in order, each action as soon as its neighbour's input is there, and calls
// visit(rank, position) for each in an order in which causes come before effects. Returns how many actions of each rank
// were executed; a rank that stands before its end waits forever. REQUIRES: stages, micro-batches and ranks in range.
std::vector<size_t> WalkSchedule(const Schedule& schedule, absl::FunctionRef<void(int, size_t)> visit);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_WALK_H_
