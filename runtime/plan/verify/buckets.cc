#include "runtime/plan/verify/buckets.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/shards.h"
#include "runtime/plan/ties.h"
#include "runtime/plan/verify/bytes.h"

namespace millrace {
namespace {

std::string Named(const proto::PlannedParameter& parameter) {
  return absl::StrCat("parameter ", Quoted(parameter.name()), ": ");
}

// Accumulators and optimizer state are F32, or F64 when everything is.
uint64_t AccumulatorBytes(const proto::PlannedParameter& parameter) {
  return *ElementsOf(parameter.type()) * (parameter.type().dtype() == proto::F64 ? 8 : 4);
}

absl::Status CheckUses(const proto::PlannedParameter& parameter) {
  std::vector<bool> seen;
  for (const proto::ParameterPlace& place : parameter.places()) seen.resize(seen.size() + place.gradients_size());
  for (const proto::ParameterPlace& place : parameter.places()) {
    for (const proto::GradientPlace& use : place.gradients()) {
      if (use.order() >= seen.size() || seen[use.order()]) {
        return Broken("index", {},
                      absl::StrCat(Named(parameter), "its uses must be numbered 0 to ", seen.size() - 1,
                                   ", each once; found ", use.order()));
      }
      seen[use.order()] = true;
    }
  }
  if (!parameter.trainable()) {
    if (seen.empty()) return absl::OkStatus();
    return Broken("index", {}, absl::StrCat(Named(parameter), "is frozen but has an accumulator"));
  }
  const auto& first = parameter.places(0).gradients();
  if (std::none_of(first.begin(), first.end(), [](const auto& use) { return use.order() == 0; })) {
    return Broken("index", {},
                  absl::StrCat(Named(parameter), "its owner, rank ", parameter.places(0).rank(),
                               ", must hold the accumulator of the first use"));
  }
  return absl::OkStatus();
}

absl::Status AddParameter(const proto::ExecutionPlan& plan, int index, std::vector<int>* seen,
                          PersistentMemory* memory) {
  const proto::PlannedParameter& parameter = plan.parameters(index);
  const std::optional<uint64_t> bytes = BytesOf(parameter.type());
  if (!bytes) return Broken("extent", {}, absl::StrCat(Named(parameter), "its size is unknown or overflows"));
  if (parameter.places().empty()) return Broken("index", {}, absl::StrCat(Named(parameter), "is on no rank"));
  for (const proto::ParameterPlace& place : parameter.places()) {
    if (place.rank() >= memory->ranks.size()) {
      return Broken("index", {}, absl::StrCat(Named(parameter), "rank ", place.rank(), " of ", memory->ranks.size()));
    }
    if ((*seen)[place.rank()] == index) {
      return Broken("index", {}, absl::StrCat(Named(parameter), "has two places on rank ", place.rank()));
    }
    (*seen)[place.rank()] = index;
    PersistentMemory::Rank& rank = memory->ranks[place.rank()];
    if (!parameter.trainable() || !DividesParameters(plan)) {  // a divided one stands with its bucket, and in chunks
      rank.ranges.push_back({place.weight_offset(), *bytes, PersistentRange::kWeight, index, ""});
      rank.weights[place.weight_offset()] = *bytes;
      rank.named[parameter.name()].push_back(place.weight_offset());
    }
    for (const proto::GradientPlace& use : place.gradients()) {
      const uint64_t gradient_bytes = AccumulatorBytes(parameter);
      if (!DividesGradients(plan)) {  // a divided one's whole stands in a chunk
        rank.ranges.push_back({use.offset(), gradient_bytes, PersistentRange::kAccumulator, index, use.node()});
      }
      rank.accumulators[use.offset()] = std::max(rank.accumulators[use.offset()], gradient_bytes);
      rank.named[absl::StrCat("grad/", parameter.name(), "@", use.node())].push_back(use.offset());
    }
  }
  return CheckUses(parameter);
}

// How many state tensors the optimizer must find; 0: this build does not know the optimizer.
int StatesOf(const proto::ExecutionPlan& plan, uint32_t parameter) {
  return OptimizerStates(plan.parameters(static_cast<int>(parameter)), plan.optimizer());
}

absl::Status CheckGroup(const proto::ExecutionPlan& plan, int b, const proto::PlannedParameter& parameter) {
  const proto::Bucket& bucket = plan.buckets(b);
  std::vector<uint32_t> group(bucket.group().begin(), bucket.group().end());
  std::vector<uint32_t> places;
  for (const proto::ParameterPlace& place : parameter.places()) places.push_back(place.rank());
  std::sort(group.begin(), group.end());
  std::sort(places.begin(), places.end());
  if (group != places || parameter.places(0).rank() != bucket.owner()) {
    return Broken("matching", {},
                  absl::StrCat("bucket ", b, ": its group, owner first, is not where parameter ",
                               Quoted(parameter.name()), " lives"));
  }
  return absl::OkStatus();
}

// The shards of a bucket at its places: of gradients with replicas first, of weights where those are divided.
absl::Status AddShards(const proto::ExecutionPlan& plan, int b, PersistentMemory* memory) {
  const proto::Bucket& bucket = plan.buckets(b);
  std::map<uint32_t, std::vector<Shard>> shards_at;  // by place; all parameters of a bucket have the same ones
  for (uint32_t place : bucket.group()) shards_at[place] = ShardsAt(plan, bucket, static_cast<int>(place));
  for (uint32_t p : bucket.parameters()) {
    int uses = 0;
    for (const proto::ParameterPlace& place : plan.parameters(static_cast<int>(p)).places()) {
      PersistentMemory::Rank& rank = memory->ranks[place.rank()];
      const std::vector<Shard>& shards = shards_at.at(place.rank());
      uses += place.gradients_size();
      if (DividesParameters(plan)) {
        rank.ranges.push_back({place.weight_offset(), ShardWeightBytes(shards), PersistentRange::kShardWeight, b, ""});
      }
      for (const proto::GradientPlace& use : place.gradients()) {
        if (!ReplicasFirst(plan)) continue;
        rank.ranges.push_back({use.shard_offset(), ShardBytes(shards), PersistentRange::kShardSum, b, ""});
      }
    }
    if (ReplicasFirst(plan) && uses > 1 && bucket.parameters_size() > 1) {
      return Broken("index", {},
                    absl::StrCat("bucket ", b, ": ", Named(plan.parameters(static_cast<int>(p))),
                                 "is used several times, each place with a sum of its own; it must be alone"));
    }
  }
  return absl::OkStatus();
}

// What the replicas need beyond a single pipeline's.
absl::Status AddReplicas(const proto::ExecutionPlan& plan, int b, PersistentMemory* memory) {
  const proto::Bucket& bucket = plan.buckets(b);
  PersistentMemory::Rank* const owner = &memory->ranks[bucket.owner()];
  const std::vector<Shard> shards = ShardsAt(plan, bucket, static_cast<int>(bucket.owner()));
  const uint64_t staging = ReplicasFirst(plan) ? 0 : ReplicaStagingBytes(shards);
  if (staging > 0)
    owner->ranges.push_back({bucket.replica_staging_offset(), staging, PersistentRange::kStaging, b, ""});
  MR_RETURN_IF_ERROR(AddShards(plan, b, memory));
  if (plan.shard_optimizer() == 0) return absl::OkStatus();
  int states = 0;  // of the parameter that has most
  for (uint32_t p : bucket.parameters()) states = std::max(states, StatesOf(plan, p));
  if (bucket.shard_state_offsets_size() != states) {
    return Broken("index", {},
                  absl::StrCat("bucket ", b, ": ", bucket.shard_state_offsets_size(), " sharded state tensors; ",
                               Quoted(plan.optimizer()), " wants ", states));
  }
  for (uint64_t offset : bucket.shard_state_offsets()) {
    owner->ranges.push_back({offset, ShardBytes(shards), PersistentRange::kShardState, b, ""});
  }
  return absl::OkStatus();
}

// Where gradients of one use on another rank than the owner arrive.
uint64_t StagedBytes(const proto::ExecutionPlan& plan, const proto::Bucket& bucket,
                     const proto::PlannedParameter& parameter, const proto::ParameterPlace& place) {
  const int owner = static_cast<int>(bucket.owner());
  if (ReplicasFirst(plan)) return ShardBytes(ShardsAt(plan, bucket, owner));
  const int owners = std::max<int>(1, static_cast<int>(RanksAt(plan, owner).size()));
  const int arrivals = ArrivalsOfUse(owners, static_cast<int>(RanksAt(plan, static_cast<int>(place.rank())).size()));
  return arrivals == 1 ? AccumulatorBytes(parameter) : arrivals * RoundUp(AccumulatorBytes(parameter));
}

absl::Status AddBucket(const proto::ExecutionPlan& plan, int b, std::vector<int>* bucket_of, PersistentMemory* memory) {
  const proto::Bucket& bucket = plan.buckets(b);
  const std::string name = absl::StrCat("bucket ", b, ": ");
  if (bucket.owner() >= memory->ranks.size()) {
    return Broken("index", {}, absl::StrCat(name, "rank ", bucket.owner(), " of ", memory->ranks.size()));
  }
  const bool sharded = plan.shard_optimizer() > 0;
  if (bucket.states_size() != (sharded ? 0 : bucket.parameters_size())) {
    return Broken("index", {},
                  absl::StrCat(name, bucket.states_size(), " states for ", bucket.parameters_size(), " parameters",
                               sharded ? "; sharded ones have none of their own" : ""));
  }
  PersistentMemory::Rank& owner = memory->ranks[bucket.owner()];
  int staged = 0;
  for (int i = 0; i < bucket.parameters_size(); ++i) {
    const uint32_t p = bucket.parameters(i);
    if (p >= plan.parameters_size()) {
      return Broken("index", {}, absl::StrCat(name, "parameter ", p, " of ", plan.parameters_size()));
    }
    const proto::PlannedParameter& parameter = plan.parameters(p);
    if (!parameter.trainable()) return Broken("index", {}, absl::StrCat(name, "steps frozen ", Named(parameter)));
    if ((*bucket_of)[p] != -1) {
      return Broken("index", {}, absl::StrCat(name, Named(parameter), "is also in bucket ", (*bucket_of)[p]));
    }
    (*bucket_of)[p] = b;
    MR_RETURN_IF_ERROR(CheckGroup(plan, b, parameter));
    if (!sharded && bucket.states(i).offsets_size() < std::max(1, StatesOf(plan, p))) {
      return Broken("index", {},
                    absl::StrCat(name, Named(parameter), bucket.states(i).offsets_size(), " state tensors; ",
                                 Quoted(plan.optimizer()), " wants ", StatesOf(plan, p)));
    }
    for (int k = 0; !sharded && k < bucket.states(i).offsets_size(); ++k) {
      owner.ranges.push_back(
          {bucket.states(i).offsets(k), AccumulatorBytes(parameter), PersistentRange::kState, static_cast<int>(p), ""});
    }
    for (const proto::ParameterPlace& place : parameter.places()) {
      if (place.rank() == bucket.owner()) continue;
      for (int use = 0; use < place.gradients_size(); ++use, ++staged) {
        if (staged >= bucket.staging_offsets_size()) continue;
        const uint64_t bytes = StagedBytes(plan, bucket, parameter, place);
        owner.ranges.push_back({bucket.staging_offsets(staged), bytes, PersistentRange::kStaging, b, ""});
      }
    }
  }
  if (staged != bucket.staging_offsets_size()) {
    return Broken("index", {},
                  absl::StrCat(name, bucket.staging_offsets_size(), " staging offsets for ", staged,
                               " uses away from the owner"));
  }
  return HasReplicas(plan) ? AddReplicas(plan, b, memory) : absl::OkStatus();
}

}  // namespace

absl::Status AddParameters(const proto::ExecutionPlan& plan, PersistentMemory* memory) {
  std::vector<int> seen(memory->ranks.size(), -1);
  for (int i = 0; i < plan.parameters_size(); ++i) MR_RETURN_IF_ERROR(AddParameter(plan, i, &seen, memory));
  return absl::OkStatus();
}

absl::Status AddBuckets(const proto::ExecutionPlan& plan, PersistentMemory* memory) {
  if (plan.buckets_size() > 0 && OptimizerStates(proto::PlannedParameter(), plan.optimizer()) == 0) {
    return Broken("known-op", {},
                  absl::StrCat("optimizer ", Quoted(plan.optimizer()), "; this build knows adamw and sgd"));
  }
  std::vector<int> bucket_of(plan.parameters_size(), -1);
  for (int b = 0; b < plan.buckets_size(); ++b) MR_RETURN_IF_ERROR(AddBucket(plan, b, &bucket_of, memory));
  return absl::OkStatus();
}

}  // namespace millrace
