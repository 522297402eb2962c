// What a stage shares with its replicas: the gradients that each of its RUNs writes, and where parameters are divided
// the weights that it gathers. The plan names both by the stages' values; partitioner, verifier and worker read them
// the same way.
#ifndef RUNTIME_PLAN_CHUNKS_H_
#define RUNTIME_PLAN_CHUNKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proto/plan.pb.h"
#include "runtime/plan/shards.h"

namespace millrace {

// A parameter of a bucket.
struct BucketMember {
  int parameter = -1;
  int bucket = -1;
  int member = -1;  // index into bucket.parameters
};

// The accumulator of one place of use.
struct RunGradient {
  BucketMember of;
  uint64_t offset = 0;  // GradientPlace.offset and shard_offset
  uint64_t shard_offset = 0;
  int last_call = 0;  // of the phase, that adds into it
};

// A divided parameter that the stage reads.
struct ChunkWeight {
  BucketMember of;
  uint64_t offset = 0;        // of the whole
  uint64_t shard_offset = 0;  // ParameterPlace.weight_offset
};

// Keeps a reference to the plan. REQUIRES: its buckets' parameters are indices of trainable ones, each in one bucket,
// and have sizes.
class Chunks {
 public:
  explicit Chunks(const proto::ExecutionPlan& plan);

  // Of the calls of a phase of a stage on that rank of the pipeline, in order of their last call; one that the plan
  // does not know as an accumulator is left out.
  std::vector<RunGradient> GradientsOf(const proto::StageProgram& stage, const proto::PhaseProgram& phase,
                                       int rank) const;
  // In the order of the stage's values; empty where parameters are not divided.
  std::vector<ChunkWeight> WeightsOf(const proto::StageProgram& stage, int rank) const;

  // nullptr: frozen.
  const BucketMember* MemberOf(int parameter) const {
    return members_[parameter].bucket < 0 ? nullptr : &members_[parameter];
  }
  // By replica of that place of the bucket; of a place that the bucket does not have: the owner's.
  const std::vector<Shard>& shards(int bucket, int place) const;
  // What a replica there sums of a member; nullptr: nothing, also where the place has fewer replicas.
  const ShardPiece* PieceOf(const BucketMember& of, int place, int replica) const;
  uint64_t GradientBytes(const BucketMember& of) const;  // of the whole
  uint64_t WeightBytes(const BucketMember& of) const;

  // At PhaseProgram.staging_offset, where gradients of one RUN arrive from the other replicas of `place`: one replica
  // after the other, of each its gradients in order.
  uint64_t StagingStride(const std::vector<RunGradient>& gradients, int place) const;
  uint64_t StagingBytes(const std::vector<RunGradient>& gradients, int place) const;

 private:
  int ReplicasIn(const std::vector<RunGradient>& gradients, int place) const;

  const proto::ExecutionPlan& plan_;
  struct ShardsThere {
    int place = -1;
    std::vector<Shard> shards;
  };
  std::vector<std::vector<ShardsThere>> shards_;             // by bucket; the owner's first
  std::vector<BucketMember> members_;                        // by parameter
  absl::flat_hash_map<std::string, int> parameter_of_name_;  // of trainable ones
  struct Place {
    int parameter = -1;
    const proto::GradientPlace* place = nullptr;
  };
  absl::flat_hash_map<std::string, Place> place_of_value_;  // "grad/<parameter>@<node>"
};

// May gradients of this RUN be reduced before the next one, that is, does the plan sum over replicas first?
bool ReplicasFirst(const proto::ExecutionPlan& plan);
// Are gradients divided, and parameters too?
bool DividesGradients(const proto::ExecutionPlan& plan);
bool DividesParameters(const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // RUNTIME_PLAN_CHUNKS_H_
