// Automatic zero bubble (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241, section 3.1): from costs
// and a memory limit, an order of F, B and W on one stage per rank. A limit of p micro-batches is the paper's ZB-1p, 2p
// is its ZB-2p.
//
//   rank 0  0 1 2 3 4 5 6 a 7 A b B c C . .       p = 4, limit 2p, T_F = T_B = T_W: digits are F, small letters B,
//   rank 1  . 0 1 2 3 4 a 5 b 6 A c B . .         capitals W. Before its first B a rank runs as many F as memory and
//   time rank 2  . . 0 1 2 a 3 b 4 c 5 A . . .         allow; then F and B in turn; W where a gap is long enough, where
//   memory rank 3  . . . 0 a 1 b 2 c 3 d A . . .         must be freed, or where the gap would become the largest of
//   all
//
// The paper's heuristic has binary choices; every combination is tried, then each again with the largest bubble that
// the first try met allowed from the start, and the hand-made patterns that keep the limit; the shortest span wins.
#ifndef PARTITIONER_SCHEDULE_ZB_AUTO_H_
#define PARTITIONER_SCHEDULE_ZB_AUTO_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Stage s on rank s. A rank holds at most `memory_limit` micro-batches (at least 1), of which B frees one half and W
// the other; 0: any number. Takes O(ranks * micro_batches) time. REQUIRES: counts positive, costs of `ranks` stages.
Schedule ZbAuto(int ranks, int micro_batches, const ScheduleCosts& costs, double memory_limit);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ZB_AUTO_H_
