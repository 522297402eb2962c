// Interleaved 1F1B (Narayanan et al. 2021, "Efficient Large-Scale Language Model Training on GPU Clusters Using
// Megatron-LM", SC'21): rank r holds chunks (stages) r, r + p, r + 2p, ...; micro-batches run in groups of p through
// one chunk after the other. The bubble is a v-th of 1F1B's; there are v times as many messages and a longer warm-up.
//
//   p = 2, m = 4, equal times, v = 2:
//   rank 0 |F0F1F0F1F2..B0'=F3B1'=F2B0==F3B1==..B2'=..B3'=B2==B3==|  89 %
//   rank 1 |..F0F1F0B0'=F1B1'=F2B0==F3B1==F2B2'=F3B3'=B2==B3==....|  89 %
//   F0- forward   B0= whole backward   ' later chunk   .. idle
//
// The paper needs m to be a multiple of p. Here the last group may be larger or smaller, and every m >= 1 works: of the
// ways to group the micro-batches the quickest under the costs is taken that cannot deadlock.
#ifndef PARTITIONER_SCHEDULE_INTERLEAVED_H_
#define PARTITIONER_SCHEDULE_INTERLEAVED_H_

#include "runtime/plan/action.h"
#include "runtime/plan/schedule.h"

namespace millrace {

// `costs` are of the ranks * chunks stages. REQUIRES: all counts positive.
Schedule Interleaved(int ranks, int chunks, int micro_batches, const ScheduleCosts& costs);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_INTERLEAVED_H_
