#include "runtime/plan/ties.h"

#include <algorithm>

namespace millrace {

std::vector<int> ReplicasWith(int owner_replica, int owners, int replicas) {
  std::vector<int> with;
  for (int replica = owner_replica; replica < replicas; replica += owners) with.push_back(replica);
  return with;
}

std::vector<CommonElements> CommonWith(const Chunks& chunks, const BucketMember& of, int place, uint64_t first,
                                       uint64_t elements) {
  std::vector<CommonElements> common;
  const int replicas = static_cast<int>(chunks.shards(of.bucket, place).size());
  for (int replica = 0; replica < replicas; ++replica) {
    const ShardPiece* const piece = chunks.PieceOf(of, place, replica);
    if (piece == nullptr) continue;
    const uint64_t begin = std::max(first, piece->first);
    const uint64_t end = std::min(first + elements, piece->first + piece->elements);
    if (begin < end) common.push_back({replica, begin, end - begin});
  }
  return common;
}

}  // namespace millrace
