// ZB-V (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241 section 6, and "Pipeline Parallelism with
// Controllable Memory", arXiv 2405.15362): two chunks in a V, every rank holds what 1F1B's first one does, p
// micro-batches, and with T_F = T_B = T_W and m >= 2p there is no bubble.
//
//   p = 2, m = 4, equal times:
//   rank 0 |F0-F1-F2-F0'b0'w0'F1'b1'b0=F3-w1'w0~F2'b2'b1=w2'w1~F3'b3'b2=w3'b3=w2~w3~...|  96 %
//   rank 1 |...F0-F0'F1-F1'b0'b0=F2-b1'w0'F2'b1=w0~F3-b2'w1'F3'b2=w1~b3'b3=w2'w2~w3'w3~|  96 %
//   F0- forward   b0= input gradient   w0~ weight gradient   ' later chunk   .. idle
//
// A short building block (v_block.h) leaves room under the limit, which W's that wait take: they fill the flush.
#ifndef PARTITIONER_SCHEDULE_ZB_V_H_
#define PARTITIONER_SCHEDULE_ZB_V_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Rank r holds stages r and 2 ranks - 1 - r, and at most `ranks` micro-batches of both, of which B frees one half and W
// the other. REQUIRES: both positive, costs of 2 * ranks stages.
Schedule ZbV(int ranks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ZB_V_H_
