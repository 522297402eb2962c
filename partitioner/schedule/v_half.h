// V-Half (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", arXiv 2405.15362): two chunks in a V, every
// rank holds p/2 micro-batches and a constant, half of 1F1B's first rank, and with T_F = T_B = T_W and m >= 2p the
// bubble is at most half of 1F1B's.
//
//   rank 0  0 . . . . . 1 . 0'. . a'2 A'1'. . a b'...      p = 3, the block of v_block.h with two units from rank to
//   rank rank 1  . . 0 . . . . 0'1 . . . . a'1'2 a . . ...      down the V and one up it, before it is squeezed: digits
//   are F, rank 2  . . . . 0 0'. . . . 1 1'. . . a'a 2 2'...      small letters B, capitals W, ' the way up
#ifndef PARTITIONER_SCHEDULE_V_HALF_H_
#define PARTITIONER_SCHEDULE_V_HALF_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Rank r holds stages r and 2 ranks - 1 - r. REQUIRES: both positive, costs of 2 * ranks stages.
Schedule VHalf(int ranks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_V_HALF_H_
