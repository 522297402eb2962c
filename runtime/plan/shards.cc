#include "runtime/plan/shards.h"

#include <algorithm>

#include "kernels/op_desc.h"
#include "runtime/plan/op_descs.h"

namespace millrace {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t RoundUp(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

std::vector<Shard> ShardsOf(const std::vector<uint64_t>& elements, const std::vector<uint64_t>& element_bytes,
                            uint64_t block, int replicas) {
  long double total = 0;
  for (uint64_t count : elements) total += count;
  std::vector<Shard> shards(replicas);
  uint64_t passed = 0;  // elements in front of the parameter
  for (size_t m = 0; m < elements.size(); ++m) {
    for (int r = 0; r < replicas; ++r) {
      // The share begins and ends at the first block edge at or after its exact place.
      const auto edge = [&](int replica) {
        if (replica == replicas) return elements[m];
        const uint64_t exact = static_cast<uint64_t>(total * replica / replicas);
        if (exact <= passed) return uint64_t{0};
        const uint64_t blocks = (exact - passed + block - 1) / block;
        return blocks >= (elements[m] + block - 1) / block ? elements[m] : blocks * block;
      };
      const uint64_t first = edge(r), last = edge(r + 1);
      if (first >= last) continue;
      Shard& shard = shards[r];
      shard.pieces.push_back({static_cast<int>(m), first, last - first, shard.bytes});
      shard.bytes += RoundUp((last - first) * element_bytes[m]);
    }
    passed += elements[m];
  }
  return shards;
}

std::vector<Shard> ShardsOf(const proto::ExecutionPlan& plan, const proto::Bucket& bucket) {
  std::vector<uint64_t> elements, bytes;
  for (uint32_t p : bucket.parameters()) {
    const TensorSpec gradient = GradientSpec(plan.parameters(static_cast<int>(p)));
    elements.push_back(static_cast<uint64_t>(gradient.elements()));
    bytes.push_back(gradient.elements() == 0 ? 0 : static_cast<uint64_t>(gradient.bytes() / gradient.elements()));
  }
  return ShardsOf(elements, bytes, plan.norm_block_elements(), static_cast<int>(plan.dp()));
}

uint64_t ShardStateBytes(const std::vector<Shard>& shards) {
  uint64_t most = 0;
  for (const Shard& shard : shards) most = std::max(most, shard.bytes);
  return most;
}

uint64_t ReplicaStagingBytes(const std::vector<Shard>& shards) {
  return shards.empty() ? 0 : (shards.size() - 1) * ShardStateBytes(shards);
}

}  // namespace millrace
