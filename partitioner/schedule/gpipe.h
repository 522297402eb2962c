// GPipe (Huang et al. 2019): all forwards, then all backwards, so every micro-batch is in flight at once.
//
//   rank 0  0 1 2 3 . . . . . . a b c d       pp = 4, 4 micro-batches: digits are F, letters BW
//   rank 1  . 0 1 2 3 . . . . a b c d
//   rank 2  . . 0 1 2 3 . . a b c d
//   rank 3  . . . 0 1 2 3 a b c d
//
// The paper runs backwards in reverse order; here they run in micro-batch order, in which gradients are added.
#ifndef PARTITIONER_SCHEDULE_GPIPE_H_
#define PARTITIONER_SCHEDULE_GPIPE_H_

#include "runtime/plan/action.h"

namespace millrace {

// Stage s on rank s. REQUIRES: both positive.
Schedule GPipe(int stages, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_GPIPE_H_
