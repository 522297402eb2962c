// Forward passes only, for programs that do not train:
//
//   rank 0  0 1 2 3
//   rank 1    0 1 2 3
#ifndef PARTITIONER_SCHEDULE_FORWARD_ONLY_H_
#define PARTITIONER_SCHEDULE_FORWARD_ONLY_H_

#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

// On ranks 0 .. ranks - 1. A rank with several stages runs a micro-batch through all of them before the next one.
Schedule ForwardOnly(const std::vector<int>& rank_of_stage, int ranks, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_FORWARD_ONLY_H_
