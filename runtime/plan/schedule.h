// Schedules on paper: proven and timed before there is a graph. Pure functions of an action list and costs.
//
// The same rules that VerifyPlan and Simulate apply to a whole plan, applied to the bare lists: what a generator is
// tested with, and what `millrace schedule` prints.
#ifndef RUNTIME_PLAN_SCHEDULE_H_
#define RUNTIME_PLAN_SCHEDULE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/plan/action.h"

namespace millrace {

// Seconds (or any unit) of one micro-batch on each stage. A chunk of an interleaved schedule is a stage of its own: the
// callers divide. All vectors have `stages` elements.
struct ScheduleCosts {
  std::vector<double> forward;
  std::vector<double> backward_input;
  std::vector<double> backward_weight;
  std::vector<double> recompute;  // of an action R; empty: as forward
  // From the end of a stage's action to the arrival of what it sends at a neighbouring stage on another rank, either
  // way; [s] is the edge between stages s and s+1. Stages of one rank hand over at once.
  std::vector<double> communication;
  // Activation bytes (or any unit) that a stage holds from the start of F until B ends, and of those what stays until W
  // ends. Where a stage has an R for a micro-batch it holds them from the start of R instead.
  std::vector<double> stash;         // empty: 1 per stage
  std::vector<double> weight_stash;  // empty: half of stash

  // Equal stages.
  static ScheduleCosts Uniform(int stages, double forward, double backward_input, double backward_weight,
                               double communication);
};

struct TimedAction {
  Action action;
  double start = 0;
  double end = 0;
};

struct ScheduleSimulation {
  std::vector<std::vector<TimedAction>> ranks;
  double makespan = 0;      // end of the last action; the first starts at 0
  double longest_span = 0;  // over the ranks: end of the last action - start of the first
  // 1 - mean busy time / longest span: the Zero Bubble paper's bubble rate for equal stages.
  double bubble_rate = 0;
  // (longest span - ideal) / ideal, ideal = the busiest rank's work: SC'21's.
  double bubble_over_ideal = 0;
  std::vector<double> busy;           // of each rank
  std::vector<double> idle_for_data;  // of each rank: waiting for a neighbour's result, inside its span
  std::vector<int> peak_in_flight;    // of each stage: micro-batches whose F has begun and whose B has not ended
  std::vector<double> peak_memory;    // of each rank, in units of stash
  std::vector<std::vector<std::pair<double, double>>> memory;  // of each rank: (time, held from then on)
  std::vector<TimedAction> critical_path;                      // in order of time: each waits for the one before it
};

// Completeness (F once; B and W once each, or BW once; R at most once, between F and B), order, one rank per stage,
// gradients summed in micro-batch order (B and W of a stage each in that order), and freedom from deadlock with
// rendezvous on one queue per rank where sends are listed as lowering lists them: SEND and RECV where the action that
// made the tensor ends, in one total order of all ranks. Such an order exists exactly when the lists can be executed to
// their ends with every action waiting for its inputs, which is what is tried here, in time proportional to the number
// of actions. INVALID_ARGUMENT names the rule, the rank and the action, and for a deadlock prints the grid with the
// stuck ranks marked and the cycle of waits in words.
absl::Status VerifySchedule(const Schedule& schedule);

// The schedule must have passed VerifySchedule. INVALID_ARGUMENT for costs of another number of stages, negative or not
// finite ones.
absl::StatusOr<ScheduleSimulation> SimulateSchedule(const Schedule& schedule, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_H_
