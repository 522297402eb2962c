#include "partitioner/schedule/placement.h"

namespace millrace {

std::vector<int> RoundRobinPlacement(int ranks, int chunks) {
  std::vector<int> rank_of_stage(ranks * chunks);
  for (int s = 0; s < ranks * chunks; ++s) rank_of_stage[s] = s % ranks;
  return rank_of_stage;
}

std::vector<int> VPlacement(int ranks) {
  std::vector<int> rank_of_stage(2 * ranks);
  for (int r = 0; r < ranks; ++r) rank_of_stage[r] = rank_of_stage[2 * ranks - 1 - r] = r;
  return rank_of_stage;
}

}  // namespace millrace
