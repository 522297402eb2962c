// Where the parts of a collective lie, and which collectives are refused: the same over every transport.
#ifndef RUNTIME_COMM_COLLECTIVE_SHAPE_H_
#define RUNTIME_COMM_COLLECTIVE_SHAPE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "runtime/comm/collectives.h"

namespace millrace {

// Where the bytes of a rank's shard lie in the whole.
struct ShardExtent {
  uint64_t offset = 0, bytes = 0;
};

// One for each rank of the group, in its order. The collective has passed CheckCollective.
std::vector<ShardExtent> ExtentsOf(const Collective& collective);
// Place of a rank in the group; -1: not in it.
int IndexInGroup(const Collective& collective, int rank);
// INVALID_ARGUMENT as Collectives::Start says.
absl::Status CheckCollective(const Collective& collective, int rank);

}  // namespace millrace

#endif  // RUNTIME_COMM_COLLECTIVE_SHAPE_H_
