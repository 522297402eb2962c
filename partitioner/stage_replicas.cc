#include "partitioner/stage_replicas.h"

#include <numeric>
#include <utility>

#include "partitioner/lower/lower.h"
#include "partitioner/options.h"

namespace millrace {

int FirstReplica(const PartitionOptions& options, int stage) {
  return std::accumulate(options.stage_replicas.begin(), options.stage_replicas.begin() + stage, 0);
}

std::vector<int> ReplicasOfRanks(const PartitionOptions& options) {
  std::vector<int> replicas;
  for (int count : options.stage_replicas) replicas.insert(replicas.end(), count, count);
  return replicas;
}

std::vector<NodeCost> CostsForCut(const Graph& graph, const PartitionOptions& options, const CostModel& costs) {
  if (options.stage_replicas.empty()) return CostsOf(graph, costs, options.pp);
  std::vector<NodeCost> nodes = CostsOf(graph, costs, RanksOf(options));
  for (NodeCost& cost : nodes) {
    if (cost.key.empty()) continue;
    const NodeCost all = cost;
    for (int s = 0; s < options.pp; ++s) {
      cost.seconds[s] = all.seconds[FirstReplica(options, s)] / options.stage_replicas[s];
      cost.seconds_shared[s] = all.seconds_shared[FirstReplica(options, s)] / options.stage_replicas[s];
    }
    cost.seconds.resize(options.pp);
    cost.seconds_shared.resize(options.pp);
  }
  return nodes;
}

absl::Status LowerBest(const std::vector<ProgramSource>& programs, const PartitionOptions& options,
                       const CostModel& costs, Replication replication, proto::ExecutionPlan* plan) {
  std::vector<int64_t> sizes = {options.bucket_bytes};
  if (options.bucket_bytes < 0) sizes = {0};
  if (options.bucket_bytes < 0 && replication.has_replicas()) sizes = {0, 100 << 20, 25 << 20, 8 << 20, 2 << 20};
  const proto::ExecutionPlan facts = *plan;
  absl::Status best = absl::UnknownError("not lowered yet");
  for (int64_t size : sizes) {
    replication.bucket_bytes = static_cast<uint64_t>(size);
    proto::ExecutionPlan other = facts;
    const absl::Status lowered = Lower(programs, options.cluster, costs, options.optimizer, replication, &other);
    const bool shorter =
        lowered.ok() && (!best.ok() || other.programs(0).predicted_seconds() < plan->programs(0).predicted_seconds());
    if (!shorter && size != sizes.front()) continue;
    best = lowered;
    *plan = std::move(other);
  }
  return best;
}

}  // namespace millrace
