// V-schedules from a building block (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", arXiv
// 2405.15362). Two chunks in a V: rank r holds stages r and 2p - 1 - r. One micro-batch's passes are laid out once,
// with F, B and W of a chunk one unit each, and repeated every 6 units; what a rank holds is how long its two chunks
// hold a micro-batch, divided by 6. How many units a pass takes from rank to rank is thus a choice of memory:
//
// One unit on each of the four ways gives V-Min, two between ranks down the V and one up it V-Half (pictures there).
//
// The repeated block gives every rank an order. It is then squeezed: where a rank would wait, it runs the earliest
// later pass of its order that is ready, provided that it never holds more than the limit.
#ifndef PARTITIONER_SCHEDULE_V_BLOCK_H_
#define PARTITIONER_SCHEDULE_V_BLOCK_H_

#include <vector>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Units from one rank to the next on the four ways: forward down the V and up it, backward down and up.
struct VSteps {
  int forward_down, forward_up, backward_down, backward_up;
};

// The order that the repeated block gives, not squeezed. Each phase of a stage is in micro-batch order.
Schedule RepeatBlock(int ranks, int micro_batches, const VSteps& steps);

// What the ranks of a V hold at most, in halves of a chunk's micro-batch (B frees one half, W the other): the largest
// of all ranks. The papers' count, by which a schedule's limit is set.
int MostHeldHalves(const Schedule& schedule);

// Halves of a chunk's micro-batch that stay from B to W under `costs`: 1, or 2 where W needs nearly as much as F
// leaves, as in a transformer whose attention keeps no scores. A limit is then kept by running W's sooner.
int KeptHalves(const ScheduleCosts& costs);

struct SqueezeOptions {
  int limit;          // in halves; no less than what the order itself holds
  int kept;           // halves, as KeptHalves says
  bool in_gaps_only;  // run a later pass only when it ends before the next one in order is known to be ready
};

// Plays `order` against the clock. REQUIRES: `order` does not deadlock.
Schedule Squeeze(const Schedule& order, const ScheduleCosts& costs, const SqueezeOptions& options);

// `schedule` with each W right after its B: the least that the order of its F and B can hold.
Schedule WAfterB(const Schedule& schedule);

// The quickest under `costs` of `order` with its W's where they stand, right after their B's and moved by LazyW,
// squeezed and not, that holds no more than `limit` halves, of which a B frees as many as `costs` say. REQUIRES:
// `limit` no less than WAfterB(order) holds.
Schedule BestOfBlock(const Schedule& order, const ScheduleCosts& costs, int limit);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_V_BLOCK_H_
