// V-Half (Qi et al. 2024, "Pipeline Parallelism with Controllable Memory", arXiv 2405.15362): two chunks in a V, every
// rank holds p/2 micro-batches and a constant, half of 1F1B's first rank, and with T_F = T_B = T_W and m >= 2p the
// bubble is at most half of 1F1B's.
//
//   p = 3, m = 6, equal times:
//   rank 0 |F0F1......F0b0F2w0F1b1w1b0F3w0F2b2w2b1F4w1F3b3w3b2F5w2F4b4w4b3w3..F5b5b4w5w4..b5w5|  88 %
//   rank 1 |..F0....F0F1..b0F1w0F2b0b1w0F2w1F3b1b2w1F3w2F4b2b3w2F4w3F5b3b4w3F5w4b4b5w4w5b5w5..|  88 %
//   rank 2 |....F0F0....F1F1b0b0w0F2w0F2b1b1w1F3w1F3b2b2w2F4w2F4b3b3w3F5w3F5b4b4w4w4b5b5w5w5..|  88 %
//   F0- forward   b0= input gradient   w0~ weight gradient   ' later chunk   .. idle
#ifndef PARTITIONER_SCHEDULE_V_HALF_H_
#define PARTITIONER_SCHEDULE_V_HALF_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Rank r holds stages r and 2 ranks - 1 - r. REQUIRES: both positive, costs of 2 * ranks stages.
Schedule VHalf(int ranks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_V_HALF_H_
