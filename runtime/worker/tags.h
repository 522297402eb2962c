// Tags of transfers, distinct across what may be in flight at once.
#ifndef RUNTIME_WORKER_TAGS_H_
#define RUNTIME_WORKER_TAGS_H_

#include <cstdint>

namespace millrace {

enum class TagKind { kEdge = 0, kReduce = 1, kGather = 2, kReplica = 3 };

// `program` < 32, or whatever else tells transfers of one kind apart; a and b < 2^28.
inline uint64_t TransferTag(TagKind kind, uint64_t program, uint64_t a, uint64_t b) {
  return (static_cast<uint64_t>(kind) << 62) | ((program & 0x1f) << 56) | ((a & 0xfffffff) << 28) | (b & 0xfffffff);
}

// What work that is done again and again flips each time.
inline constexpr uint64_t kTagTurn = uint64_t{1} << 61;

}  // namespace millrace

#endif  // RUNTIME_WORKER_TAGS_H_
