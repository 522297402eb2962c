// Which rank holds which stage (chunk).
#ifndef PARTITIONER_SCHEDULE_PLACEMENT_H_
#define PARTITIONER_SCHEDULE_PLACEMENT_H_

#include <vector>

namespace millrace {

// Stage s on rank s mod ranks: interleaved chunks.
std::vector<int> RoundRobinPlacement(int ranks, int chunks);

// Two chunks in a V: rank r holds stages r and 2 ranks - 1 - r, so the turn stays on the last rank.
std::vector<int> VPlacement(int ranks);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_PLACEMENT_H_
