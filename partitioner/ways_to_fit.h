// Where memory does not suffice: which other options would have fitted, and what they would have cost.
#ifndef PARTITIONER_WAYS_TO_FIT_H_
#define PARTITIONER_WAYS_TO_FIT_H_

#include <string>

#include "partitioner/partition.h"
#include "proto/model.pb.h"

namespace millrace {

// A clause for the end of an error message. Plans, as if memory had no end, what is asked for with recomputation (of
// the ranks that have too little; of all stages), with schedules that hold less, with both, and with twice the stages
// where the cluster has the devices; tells those that fit by predicted step, the shortest first, or, where none does,
// the one that lacks least and how much. REQUIRES: CheckOptions passed.
std::string WaysToFit(const proto::Model& model, const PartitionOptions& options, const KernelNeedsFn& needs);

}  // namespace millrace

#endif  // PARTITIONER_WAYS_TO_FIT_H_
