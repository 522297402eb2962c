// Moving the borders of a cut for the sake of the whole step: the slowest stage is not all that counts, since warm-up
// and cool-down pass through every stage, and where weight gradients are delayed they fill what would be waiting.
#ifndef PARTITIONER_CUT_STEP_CUT_H_
#define PARTITIONER_CUT_STEP_CUT_H_

#include "absl/status/statusor.h"
#include "partitioner/cut/best_cut.h"
#include "partitioner/cut/cut.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// What the stages of a cut cost on the devices of `rules`: F, B and W of their units, and half of what crosses each
// boundary as a transfer, since half of it goes each way.
ScheduleCosts CostsOfStages(const Chain& chain, const Cut& cut, const CutRules& rules);

// The cuts that differ in one border, or in two that are neighbours and go the same way, by 1, 2, 4 or 8 units; those
// by few units first. No stage is empty.
std::vector<Cut> NearbyCuts(const Cut& cut, int units);

struct StepCut {
  Cut cut;
  double seconds = 0;  // SimulateSchedule's makespan
  double before = 0;   // of the cut it started from
};

// From `cut` on, moves one border, or two that are neighbours, by 1, 2, 4 or 8 units of the chain's order for as long
// as that shortens the simulated schedule by 0.01 % or more. Keeps the rules. Simulates no more than about a million
// actions; a schedule with more is left as it is. Errors are SimulateSchedule's.
absl::StatusOr<StepCut> ImproveStep(const Chain& chain, const Cut& cut, const CutRules& rules,
                                    const Schedule& schedule);

}  // namespace millrace

#endif  // PARTITIONER_CUT_STEP_CUT_H_
