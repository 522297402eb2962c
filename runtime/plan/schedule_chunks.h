// Which of its rank's stages a stage is, counted from the input.
#ifndef RUNTIME_PLAN_SCHEDULE_CHUNKS_H_
#define RUNTIME_PLAN_SCHEDULE_CHUNKS_H_

#include <vector>

#include "runtime/plan/action.h"

namespace millrace {

// By stage.
inline std::vector<int> ChunkOfStage(const Schedule& schedule) {
  std::vector<int> seen(schedule.ranks.size(), 0);
  std::vector<int> chunks;
  for (int rank : schedule.rank_of_stage) chunks.push_back(seen[rank]++);
  return chunks;
}

}  // namespace millrace

#endif  // RUNTIME_PLAN_SCHEDULE_CHUNKS_H_
