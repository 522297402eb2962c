// V-Min (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", arXiv 2405.15362): two chunks in a V, every
// rank holds p/3 micro-batches and a constant, the least that a V can; with T_F = T_B = T_W the bubble is two thirds of
// 1F1B's. Where the times differ much the bubble grows with m: nothing is held that could fill a gap.
//
//   rank 0  0 . . . 0'. 1 a'. A'1'a 2 b'A B'2'b ...      p = 2, the block of v_block.h with one unit on all four ways,
//   rank 1  . 0 0'. . . . 1 1'a'a A'. 2 2'b'b A ...      before it is squeezed: digits are F, small letters B, capitals
//                                                        W, ' the way up (order only: columns are not times)
#ifndef PARTITIONER_SCHEDULE_V_MIN_H_
#define PARTITIONER_SCHEDULE_V_MIN_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Rank r holds stages r and 2 ranks - 1 - r. REQUIRES: both positive, costs of 2 * ranks stages.
Schedule VMin(int ranks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_V_MIN_H_
