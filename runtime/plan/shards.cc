#include "runtime/plan/shards.h"

#include <algorithm>

#include "kernels/op_desc.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"

namespace millrace {
Divisible DivisibleOf(const proto::PlannedParameter& parameter) {
  const TensorSpec gradient = GradientSpec(parameter);
  return {static_cast<uint64_t>(gradient.elements()), static_cast<uint64_t>(SizeOf(gradient.dtype)),
          static_cast<uint64_t>(SizeOf(parameter.type().dtype()))};
}

std::vector<Shard> ShardsOf(const std::vector<Divisible>& parameters, uint64_t block, int replicas) {
  long double total = 0;
  for (const Divisible& parameter : parameters) total += parameter.elements;
  std::vector<Shard> shards(replicas);
  uint64_t passed = 0;  // elements in front of the parameter
  for (size_t m = 0; m < parameters.size(); ++m) {
    const uint64_t elements = parameters[m].elements;
    // The share begins and ends at the first block edge at or after its exact place.
    const auto edge = [&](int replica) {
      if (replica == replicas) return elements;
      const uint64_t exact = static_cast<uint64_t>(total * replica / replicas);
      if (exact <= passed) return uint64_t{0};
      const uint64_t blocks = (exact - passed + block - 1) / block;
      return blocks >= (elements + block - 1) / block ? elements : blocks * block;
    };
    for (int r = 0; r < replicas; ++r) {
      const uint64_t first = edge(r), last = edge(r + 1);
      if (first >= last) continue;
      Shard& shard = shards[r];
      shard.pieces.push_back({static_cast<int>(m), first, last - first, shard.bytes, shard.weight_bytes});
      shard.bytes += RoundUp((last - first) * parameters[m].gradient_bytes);
      shard.weight_bytes += RoundUp((last - first) * parameters[m].weight_bytes);
    }
    passed += elements;
  }
  return shards;
}

std::vector<Shard> ShardsAt(const proto::ExecutionPlan& plan, const proto::Bucket& bucket, int place) {
  std::vector<Divisible> parameters;
  for (uint32_t p : bucket.parameters()) parameters.push_back(DivisibleOf(plan.parameters(static_cast<int>(p))));
  const size_t replicas = RanksAt(plan, place).size();
  return ShardsOf(parameters, plan.norm_block_elements(), static_cast<int>(std::max<size_t>(1, replicas)));
}

uint64_t ShardBytes(const std::vector<Shard>& shards) {
  uint64_t most = 0;
  for (const Shard& shard : shards) most = std::max(most, shard.bytes);
  return most;
}

uint64_t ShardWeightBytes(const std::vector<Shard>& shards) {
  uint64_t most = 0;
  for (const Shard& shard : shards) most = std::max(most, shard.weight_bytes);
  return most;
}

uint64_t ReplicaStagingBytes(const std::vector<Shard>& shards) {
  return shards.empty() ? 0 : (shards.size() - 1) * ShardBytes(shards);
}

}  // namespace millrace
