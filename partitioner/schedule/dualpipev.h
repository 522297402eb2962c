// DualPipeV (DeepSeek 2025, github.com/deepseek-ai/DualPipe; the "cut in half" form of DeepSeek-V3's DualPipe): two
// chunks in a V, rank r holds stages r and 2p - 1 - r. In the steady state each forward stands beside the backward of
// another micro-batch on the other chunk, so that the one's communication hides behind the other's computation.
//
//   rank 0  0 1 2 0'3 1'a'A'2'b'B'3' 4 c'4'a ...      p = 3: digits are F, small letters B (BW in the steady state),
//   rank 1  . 0 1 0'2 1'a'A'2'  3 b'3'a ...           capitals W, ' marks the chunk on the way up the V
//   rank 2  . . 0 0'1 1'2 2'  3 a'3'a ...             (order only: columns are not times)
//
// Eight steps of each rank, as in the authors' program: nF0; nF0F1; nB1W1F1; the main step nF0B1F1B0; nB1F1B0; nB1B0,
// its second half with W delayed; nWB0; nW. They need m >= 2p.
#ifndef PARTITIONER_SCHEDULE_DUALPIPEV_H_
#define PARTITIONER_SCHEDULE_DUALPIPEV_H_

#include "runtime/plan/action.h"

namespace millrace {

// REQUIRES: ranks >= 1, micro_batches >= 2 * ranks (or 1 rank and 1 micro-batch).
Schedule DualPipeV(int ranks, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_DUALPIPEV_H_
