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
  int member = 0;             // index into bucket.parameters
  uint64_t first = 0;         // element of the parameter
  uint64_t elements = 0;      // more than 0
  uint64_t shard_offset = 0;  // bytes from the beginning of the shard, a multiple of 256
};

struct Shard {
  std::vector<ShardPiece> pieces;  // at most one of each parameter, in order
  uint64_t bytes = 0;              // of accumulators, each piece rounded up to 256
};

// Of parameters with so many elements and accumulators of so many bytes an element: a shard for each replica, of as
// many elements as blocks allow. block > 0, replicas > 0.
std::vector<Shard> ShardsOf(const std::vector<uint64_t>& elements, const std::vector<uint64_t>& element_bytes,
                            uint64_t block, int replicas);

// Of a bucket of a plan. REQUIRES: its parameters are indices into the plan's and have a size.
std::vector<Shard> ShardsOf(const proto::ExecutionPlan& plan, const proto::Bucket& bucket);

// Bytes at each of bucket.shard_state_offsets, and at bucket.replica_staging_offset.
uint64_t ShardStateBytes(const std::vector<Shard>& shards);
uint64_t ReplicaStagingBytes(const std::vector<Shard>& shards);

}  // namespace millrace

#endif  // RUNTIME_PLAN_SHARDS_H_
