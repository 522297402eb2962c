// What outlives every program: weights, one accumulator per place of use, optimizer state, packed weights, metrics,
// staging; and the buckets that step them.
//
// Where replicas divide gradients or parameters (levels 2 and 3), the whole ones have room for two chunks of a rank at
// a time: its stages take turns in two buffers, the even ones in the first and the odd ones in the second.
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
  int replicas = 1;             // of the pipeline
  std::vector<int> of_rank;     // of the stages on each rank of the pipeline, where they have their own; else empty
  int shard_optimizer = 0;      // plan.shard_optimizer
  bool replicas_first = false;  // plan.sum_order
  uint64_t norm_block_elements = 0;  // plan.norm_block_elements
  uint64_t bucket_bytes = 0;         // of gradients, at most, unless one parameter has more; 0: no limit

  // Of what a place (a rank of the pipeline) holds.
  int ReplicasAt(int place) const { return of_rank.empty() ? replicas : of_rank[place]; }
  bool has_replicas() const { return replicas > 1 || !of_rank.empty(); }

  bool divides_gradients() const { return shard_optimizer >= 2; }
  bool divides_parameters() const { return shard_optimizer >= 3; }
};

struct Persistent {
  struct RankMemory {
    std::map<int, uint64_t> weights;         // parameter -> offset, of the whole or of its bucket's shard
    std::map<std::string, uint64_t> packed;  // PackingOf -> offset
    std::map<int, uint64_t> accumulators;    // value of the training graph -> offset
    // Where parameters are divided, in place of `packed` and beside `weights`: by stage, in the stage's buffer.
    std::map<std::pair<int, int>, uint64_t> chunk_weights;
    std::map<std::pair<int, std::string>, uint64_t> chunk_packed;
    uint64_t run_staging = 0;               // with replicas first: where a RUN's gradients arrive from the others
    uint64_t loss_sum = 0, loss_count = 0;  // offsets of the metrics
    std::vector<proto::Region> regions;     // in order; the transient region comes after them
    uint64_t bytes = 0;                     // of all regions

    // Where a stage reads a weight, and its packed form.
    uint64_t WeightFor(int stage, int parameter) const;
    uint64_t PackedFor(int stage, const std::string& packing) const;
  };
  std::vector<RankMemory> ranks;
  std::vector<proto::PlannedParameter> parameters;
  std::vector<proto::Bucket> buckets;
  std::string optimizer;
  Replication replication;
  // By bucket, place and replica; without replicas of anything: empty.
  std::vector<std::map<int, std::vector<Shard>>> shards;
  // By rank of the pipeline: the rank that stands for it in places and buckets, which is the first of its replicas.
  std::vector<int> place_of_rank;
  std::vector<int> bucket_of;  // by parameter, -1: frozen

  const std::vector<Shard>& OwnersShards(size_t bucket) const {
    return shards[bucket].at(static_cast<int>(buckets[bucket].owner()));
  }
};

// The first program is the training one. A parameter stands on every rank that any program reads it on (on rank 0 when
// none does), the owner first: the rank of its first use in graph order. Ranks are those of one pipeline. `optimizer`:
// "adamw" or "sgd".
Persistent PlanPersistent(const std::vector<ProgramSource>& programs, const std::string& optimizer,
                          const Replication& replication);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_PERSISTENT_H_
