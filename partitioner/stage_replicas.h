// Stages with replicas of their own, and buckets of gradients: what partitioning decides about replicas.
#ifndef PARTITIONER_STAGE_REPLICAS_H_
#define PARTITIONER_STAGE_REPLICAS_H_

#include <vector>

#include "absl/status/status.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/lower/persistent.h"
#include "partitioner/lower/program_source.h"
#include "partitioner/partition.h"

namespace millrace {

// The rank, and stage of the plan, that is the first replica of a stage of the cut. REQUIRES: options.stage_replicas.
int FirstReplica(const PartitionOptions& options, int stage);
// Replication.of_rank.
std::vector<int> ReplicasOfRanks(const PartitionOptions& options);

// What a cut reckons with, by stage: a stage with n replicas does a micro-batch in the n-th part of the time, seen from
// outside.
std::vector<NodeCost> CostsForCut(const Graph& graph, const PartitionOptions& options, const CostModel& costs);

// Lower with the bucket size that is asked for, or of some the one whose step is the shortest; of equals the largest.
// `plan` has what Lower wants to find in it.
absl::Status LowerBest(const std::vector<ProgramSource>& programs, const PartitionOptions& options,
                       const CostModel& costs, Replication replication, proto::ExecutionPlan* plan);

}  // namespace millrace

#endif  // PARTITIONER_STAGE_REPLICAS_H_
