// Transformers with replicas of each stage's own number: replica_search.h for every tensor-parallel degree.
#ifndef PARTITIONER_SEARCH_TRANSFORMER_REPLICAS_H_
#define PARTITIONER_SEARCH_TRANSFORMER_REPLICAS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/search/replica_search.h"
#include "partitioner/search/search.h"

namespace millrace {

// What is faster than `worth` seconds a step, within what `question` fixes; `replicas`, where not empty, fixes one
// number for each stage. An empty answer where the question asks for what stages with replicas of their own do not have
// here: schedules other than 1F1B, sharding beyond level 1. Degrees that leave more than 64 groups of devices are left
// out, unless `replicas` is given. Errors are SearchReplicas'.
absl::StatusOr<ReplicaAnswer> SearchReplicasOf(const SearchQuestion& question, const std::vector<int64_t>& replicas,
                                               double worth);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_TRANSFORMER_REPLICAS_H_
