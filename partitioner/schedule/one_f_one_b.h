// 1F1B with a flush, the synchronous schedule of DAPPLE (Fan et al. 2020) and PipeDream-Flush (Narayanan et al. 2021):
// as long as GPipe, but rank r never holds more than pp - r micro-batches.
//
//   rank 0  0 1 2 3 . . . a 4 b 5 c . d . e . f       pp = 4, 6 micro-batches: digits are F, letters BW
//   rank 1  . 0 1 2 . . a 3 b 4 c 5 d . e . f
//   rank 2  . . 0 1 . a 2 b 3 c 4 d 5 e . f
//   rank 3  . . . 0 a 1 b 2 c 3 d 4 e 5 f
#ifndef PARTITIONER_SCHEDULE_ONE_F_ONE_B_H_
#define PARTITIONER_SCHEDULE_ONE_F_ONE_B_H_

#include "runtime/plan/action.h"

namespace millrace {

// Stage s on rank s; any number of micro-batches, also fewer than stages. REQUIRES: both positive.
Schedule OneFOneB(int stages, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_ONE_F_ONE_B_H_
