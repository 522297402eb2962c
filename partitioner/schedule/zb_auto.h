// Automatic zero bubble (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", arXiv 2401.10241, section 3.1): from costs
// and a memory limit, an order of F, B and W on one stage per rank. A limit of p micro-batches is the paper's ZB-1p, 2p
// is its ZB-2p.
//
//   p = 3, m = 5, equal times, limit 2p:
//   rank 0 |F0-F1-F2-F3-F4-b0=w0~b1=w1~b2=w2~b3=w3~b4=w4~......|  88 %
//   rank 1 |...F0-F1-F2-b0=F3-b1=F4-b2=w0~b3=w1~b4=w2~w3~w4~...|  88 %
//   rank 2 |......F0-b0=F1-b1=F2-b2=F3-b3=F4-b4=w0~w1~w2~w3~w4~|  88 %
//   F0- forward   b0= input gradient   w0~ weight gradient   .. idle
//
// The paper's heuristic has binary choices; every combination is tried, then each again with the largest bubble that
// the first try met allowed from the start, all that under smaller limits too (2p and p: more memory is never slower),
// and the hand-made patterns that keep the limit; the shortest span wins.
#ifndef PARTITIONER_SCHEDULE_ZB_AUTO_H_
#define PARTITIONER_SCHEDULE_ZB_AUTO_H_

#include <functional>
#include <vector>

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// Stage s on rank s. A rank holds at most `memory_limit` micro-batches (at least 1), of which B frees one half and W
// the other; 0: any number. Takes O(ranks * micro_batches) time. REQUIRES: counts positive, costs of `ranks` stages.
Schedule ZbAuto(int ranks, int micro_batches, const ScheduleCosts& costs, double memory_limit);

// The same for each of `memory_limits` (what the result is asked for), in less time than one after the other: the
// limits share tries.
std::function<Schedule(double memory_limit)> ZbAutoUnder(int ranks, int micro_batches, const ScheduleCosts& costs,
                                                         const std::vector<double>& memory_limits);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ZB_AUTO_H_
