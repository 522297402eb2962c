// ZB-V (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241 section 6, and "Pipeline Parallelism with
// Controllable Memory", arXiv 2405.15362): two chunks in a V, every rank holds what 1F1B's first one does, p
// micro-batches, and with T_F = T_B = T_W and m >= 2p there is no bubble.
//
//   rank 0  0 1 2 0'3 1'a'2'b'a 3'c'b A'...      p = 2, m = 4: digits are F, small letters B, capitals W, ' marks the
//   rank 1  . 0 0'1 1'a'2 a 2'b'3 b 3'c'...      chunk on the way up the V (order only: columns are not times)
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
