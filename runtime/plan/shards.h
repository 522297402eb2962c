// What each replica does of a bucket: the blocks of gradient that it sums, takes the norm of and, with sharded
// optimizer state, steps and keeps the state of. ZeRO: arXiv:1910.02054.
//
// A shard is a run of blocks of plan.norm_block_elements elements, counted through the bucket's parameters one after
// the other; each parameter begins a block. So a shard ends on block edges, and the global norm is the same sum of the
// same block sums however the bucket is divided.
#ifndef RUNTIME_PLAN_SHARDS_H_
#define RUNTIME_PLAN_SHARDS_H_

#include <cstdint>
#include <vector>

#include "proto/plan.pb.h"

namespace millrace {

struct ShardPiece {
  int member = 0;         // index into bucket.parameters
  uint64_t first = 0;     // element of the parameter
  uint64_t elements = 0;  // more than 0
  // Bytes from the beginning of the shard, multiples of 256: of its accumulators, and of its weights.
  uint64_t shard_offset = 0;
  uint64_t weight_offset = 0;
};

struct Shard {
  std::vector<ShardPiece> pieces;  // at most one of each parameter, in order
  // Each piece rounded up to 256.
  uint64_t bytes = 0;         // of accumulators
  uint64_t weight_bytes = 0;  // of weights
};

// What a bucket divides of one parameter.
struct Divisible {
  uint64_t elements = 0;
  uint64_t gradient_bytes = 0;  // of an element of the accumulator
  uint64_t weight_bytes = 0;    // of an element
};

// REQUIRES: the parameter's type has a size.
Divisible DivisibleOf(const proto::PlannedParameter& parameter);

// A shard for each replica, of as many elements as blocks allow. block > 0, replicas > 0.
std::vector<Shard> ShardsOf(const std::vector<Divisible>& parameters, uint64_t block, int replicas);

// Of a bucket of a plan at one of its places, for each of RanksAt it; what is summed over replicas and stepped is the
// owner's. REQUIRES: its parameters are indices into the plan's and have a size.
std::vector<Shard> ShardsAt(const proto::ExecutionPlan& plan, const proto::Bucket& bucket, int place);

// Bytes that every replica sets aside for its shard: at each of bucket.shard_state_offsets and at
// GradientPlace.shard_offset; at ParameterPlace.weight_offset of a divided weight; and for the arrivals from the others
// at bucket.replica_staging_offset.
uint64_t ShardBytes(const std::vector<Shard>& shards);
uint64_t ShardWeightBytes(const std::vector<Shard>& shards);
uint64_t ReplicaStagingBytes(const std::vector<Shard>& shards);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SHARDS_H_
