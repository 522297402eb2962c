// Mutants of schedules: small changes of the kind that a wrong generator or a wrong hand makes.
#ifndef TESTS_MUTANTS_MUTATE_SCHEDULE_H_
#define TESTS_MUTANTS_MUTATE_SCHEDULE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

enum class ScheduleChange {
  kDrop,            // an action is left out
  kSwapNeighbours,  // two neighbours of a list change places
  kSwapFar,         // any two of a list
  kMove,            // an action goes to another place of its list
  kDuplicate,       // an action stands there again, somewhere in its list
  kRetargetMicroBatch,
  kRetargetStage,
  kRetargetPhase,  // F, B, W, BW, R: one for another
  kOtherRank,      // an action goes to the list of another rank
  kSplit,          // BW becomes B, and W follows somewhere later
  kJoin,           // B becomes BW, and its W is left out
};

constexpr int kScheduleChanges = static_cast<int>(ScheduleChange::kJoin) + 1;

std::string NameOf(ScheduleChange change);

struct ScheduleMutant {
  Schedule schedule;
  std::string what;  // "swap neighbours: rank 1, 1F2 and 1B0"
};

// The same mutant for the same seed. Never equal to the schedule it was made from. One change; two for one seed in
// five.
ScheduleMutant MutateSchedule(const Schedule& schedule, uint64_t seed);

}  // namespace millrace

#endif  // TESTS_MUTANTS_MUTATE_SCHEDULE_H_
