#include "partitioner/schedule/gpipe.h"

namespace millrace {

Schedule GPipe(int stages, int micro_batches) {
  Schedule schedule{.stages = stages, .micro_batches = micro_batches};
  for (int s = 0; s < stages; ++s) {
    schedule.rank_of_stage.push_back(s);
    std::vector<Action>& list = schedule.ranks.emplace_back();
    for (int m = 0; m < micro_batches; ++m) list.push_back({s, proto::F, m});
    for (int m = 0; m < micro_batches; ++m) list.push_back({s, proto::BW, m});
  }
  return schedule;
}

}  // namespace millrace
