#include "partitioner/schedule/forward_only.h"

namespace millrace {

Schedule ForwardOnly(const std::vector<int>& rank_of_stage, int ranks, int micro_batches) {
  Schedule schedule{.stages = static_cast<int>(rank_of_stage.size()), .micro_batches = micro_batches};
  schedule.rank_of_stage = rank_of_stage;
  schedule.ranks.resize(ranks);
  for (int m = 0; m < micro_batches; ++m) {
    for (int s = 0; s < schedule.stages; ++s) schedule.ranks[rank_of_stage[s]].push_back({s, proto::F, m});
  }
  return schedule;
}

}  // namespace millrace
