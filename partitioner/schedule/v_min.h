// V-Min (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", arXiv 2405.15362): two chunks in a V, every
// rank holds p/3 micro-batches and a constant, the least that a V can; with T_F = T_B = T_W the bubble is two thirds of
// 1F1B's. Where the times differ much the bubble grows with m: nothing is held that could fill a gap.
//
//   p = 2, m = 4, equal times:
//   rank 0 |F0-F1-...F0'b0'w0'F2-b0=w0~F1'b1'w1'F3-b1=w1~F2'b2'w2'...b2=F3'b3'w2~w3'b3=w3~|  92 %
//   rank 1 |...F0-F0'F1-...b0'b0=F1'w0'w0~F2-b1'b1=F2'w1'w1~F3-b2'b2=F3'w2'w2~b3'b3=w3'w3~|  92 %
//   F0- forward   b0= input gradient   w0~ weight gradient   ' later chunk   .. idle
#ifndef PARTITIONER_SCHEDULE_V_MIN_H_
#define PARTITIONER_SCHEDULE_V_MIN_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Rank r holds stages r and 2 ranks - 1 - r. REQUIRES: both positive, costs of 2 * ranks stages.
Schedule VMin(int ranks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_V_MIN_H_
