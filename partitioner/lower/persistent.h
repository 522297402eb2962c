// What outlives every program: weights, one accumulator per place of use, optimizer state, packed weights, metrics,
// staging; and the buckets that step them.
#ifndef PARTITIONER_LOWER_PERSISTENT_H_
#define PARTITIONER_LOWER_PERSISTENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "partitioner/lower/program_source.h"
#include "proto/plan.pb.h"
#include "runtime/plan/shards.h"

namespace millrace {

// Packings of one rank that are the same bytes: of the same weights with the same key.
std::string PackingOf(const Graph& graph, const GraphNode& node, const KernelNeeds& needs);

// How a bucket is divided among the pipelines that train the same weights.
struct Replication {
  int replicas = 1;
  int shard_optimizer = 0;           // plan.shard_optimizer
  uint64_t norm_block_elements = 0;  // plan.norm_block_elements
  uint64_t bucket_bytes = 0;         // of gradients, at most, unless one parameter has more; 0: no limit
};

struct Persistent {
  struct RankMemory {
    std::map<int, uint64_t> weights;         // parameter -> offset
    std::map<std::string, uint64_t> packed;  // PackingOf -> offset
    std::map<int, uint64_t> accumulators;    // value of the training graph -> offset
    uint64_t loss_sum = 0, loss_count = 0;   // offsets of the metrics
    std::vector<proto::Region> regions;      // in order; the transient region comes after them
    uint64_t bytes = 0;                      // of all regions
  };
  std::vector<RankMemory> ranks;
  std::vector<proto::PlannedParameter> parameters;
  std::vector<proto::Bucket> buckets;
  std::string optimizer;
  Replication replication;
  std::vector<std::vector<Shard>> shards;  // by bucket and replica; of one replica: empty
};

// The first program is the training one. A parameter stands on every rank that any program reads it on (on rank 0 when
// none does), the owner first: the rank of its first use in graph order. Buckets: one per parameter that stands on
// several ranks; of those that stand on one, one per rank, or with replicas one or more for the stages that use them,
// so that it can be reduced when these are done. Ranks are those of one pipeline. `optimizer`: "adamw" or "sgd".
Persistent PlanPersistent(const std::vector<ProgramSource>& programs, const std::string& optimizer,
                          const Replication& replication);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_PERSISTENT_H_
