// Which parameters are reduced and stepped together, and how replicas divide them.
#ifndef PARTITIONER_LOWER_BUCKETS_H_
#define PARTITIONER_LOWER_BUCKETS_H_

#include <vector>

#include "partitioner/lower/persistent.h"

namespace millrace {

// Sets persistent->buckets (owner, group and parameters), shards and bucket_of. `ranks_of` are the ranks that hold each
// parameter, owner first.
//
// One bucket per parameter that stands on several ranks, and with replicas first per parameter that is used several
// times, because each place has a sum of its own then; of the others one per rank, or with replicas one or more for the
// stages that use them, so that it can be reduced when these are done.
void MakeBuckets(const ProgramSource& train, const std::vector<std::vector<int>>& ranks_of, Persistent* persistent);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_BUCKETS_H_
