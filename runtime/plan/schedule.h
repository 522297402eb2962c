// Schedules on paper: proven and timed before there is a graph. Pure functions of an action list and costs.
//
// The same rules that VerifyPlan and Simulate apply to a whole plan, applied to the bare lists: what a generator is
// tested with, and what `millrace schedule` prints.
#ifndef RUNTIME_PLAN_SCHEDULE_H_
#define RUNTIME_PLAN_SCHEDULE_H_

#include <string>
#include <utility>
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
  // Latency: from the end of a stage's action to the arrival of what it sends at a neighbouring stage on another rank,
  // either way, apart from what ScheduleResources add; [s] is the edge between stages s and s+1. Stages of one rank
  // hand over at once.
  std::vector<double> communication;
  // Activation bytes (or any unit) that a stage holds from the start of F until B ends, and of those what stays until W
  // ends. Where a stage has an R for a micro-batch it holds them from the start of R instead.
  std::vector<double> stash;         // empty: 1 per stage
  std::vector<double> weight_stash;  // empty: half of stash

  // Equal stages.
  static ScheduleCosts Uniform(int stages, double forward, double backward_input, double backward_weight,
                               double communication);
};

// What transfers share and what stages may hold. The defaults share nothing and hold anything.
//
// A transfer over the edge between stages s and s + 1, either way, keeps the wires that it goes over busy for
// bytes / bandwidth and arrives communication[s] (the latency) after that. A wire carries one transfer at a time, first
// come, first served: a transfer comes when its tensor is made and the receiver has a slot for it (at equal times in
// the order of the sending ranks), and one that goes over two wires waits until both are free. Stages of one rank hand
// over at once, over no wire and without slots.
struct ScheduleResources {
  std::vector<double> transfer_bytes;  // [s], any unit; empty: 0
  std::vector<double> bandwidth;       // [s], those units per unit of time, above 0; infinite or empty: no limit
  // What is one wire.
  enum class Wire {
    kDirection,  // each way between two ranks: a communication stream per (peer, direction), as lowering gives it
    kPair,       // between two ranks, both ways
    kPort,       // all that a rank sends, and all that it receives: a transfer goes over two
    kRank,       // all that a rank sends and receives, one communication stream per rank: a transfer goes over two
    kShared,     // everything
  };
  Wire wire = Wire::kDirection;
  std::vector<int> wire_of_edge;  // [s], used instead of `wire`: edges of one number share a wire both ways

  // Slots of stage s, at least 1 each; empty: any number. A stash slot is held from the start of F (of R, where a stage
  // recomputes) to the end of W or BW. A receive slot, counted for activations and for gradients separately, is held
  // from the moment it is given to a tensor, before the transfer, to the end of the action that reads it. A send slot,
  // counted likewise, is held from the start of the action that makes the tensor until the wires have let it go.
  std::vector<int> stash_slots, receive_slots, send_slots;
};

struct TimedAction {
  Action action;
  double start = 0;
  double end = 0;
};

// A tensor on its way to the neighbouring stage. made <= admitted <= begun <= left <= arrived.
struct TimedTransfer {
  Action maker;
  int from = 0, to = 0;  // ranks
  double made = 0;       // the maker has ended
  double admitted = 0;   // it has a receive slot and queues for the wires
  double begun = 0;      // the wires are its own
  double left = 0;       // begun + bytes / bandwidth
  double arrived = 0;    // left + latency

  // In the words of lowered lists: 2SEND_F0, 1SEND_B3.
  std::string Name() const;
};

// Where a rank's time goes that is not its work. Each moment has one cause: what the action that the rank stands at
// lacks then, the first of these in order of time.
struct ScheduleIdle {
  double before_first = 0;  // until the rank's first action
  double data = 0;          // the neighbour has not made the tensor
  double link = 0;          // the tensor queues for a wire or is on its way
  double slot = 0;          // the tensor waits for a receive slot, or the action for a stash or send slot
  double after_last = 0;    // from the rank's last action to the makespan
};

// One step of a critical path: an action, or the transfer of what it made. From one to the next no time passes: a step
// ends where the next one could begin (a transfer that another one queues behind, where it leaves the wire).
struct CriticalStep {
  Action action;
  bool transfer = false;
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
  std::vector<double> busy;         // of each rank; busy + data + link + slot = its span
  std::vector<ScheduleIdle> idle;   // of each rank
  std::vector<int> peak_in_flight;  // of each stage: micro-batches whose F has begun and whose B has not ended
  std::vector<double> peak_memory;  // of each rank, in units of stash
  std::vector<std::vector<std::pair<double, double>>> memory;  // of each rank: (time, held from then on)
  std::vector<TimedTransfer> transfers;     // between ranks, in the order in which they were admitted
  std::vector<CriticalStep> critical_path;  // from time 0 to the makespan
};

// Completeness (F once; B and W once each, or BW once; R at most once, between F and B), order, one rank per stage,
// gradients summed in micro-batch order (B and W of a stage each in that order), and freedom from deadlock with
// rendezvous on one queue per rank where sends are listed as lowering lists them: SEND and RECV where the action that
// made the tensor ends, in one total order of all ranks. Such an order exists exactly when the lists can be executed to
// their ends with every action waiting for its inputs, which is what is tried here, in time proportional to the number
// of actions. INVALID_ARGUMENT names the rule, the rank and the action, and for a deadlock prints the grid with the
// stuck ranks marked and the cycle of waits in words.
absl::Status VerifySchedule(const Schedule& schedule);

// Event-driven: each rank runs its list in order, one action at a time, each as soon as its input has arrived and the
// slots it needs are free. REQUIRES: the schedule has passed VerifySchedule. INVALID_ARGUMENT for costs or resources of
// another number of stages, negative or not finite ones, and for slots so few that ranks wait for each other in a
// circle: told as VerifySchedule tells a deadlock. Takes O(n log ranks) time for n actions.
absl::StatusOr<ScheduleSimulation> SimulateSchedule(const Schedule& schedule, const ScheduleCosts& costs,
                                                    const ScheduleResources& resources = {});

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_H_
