#include "partitioner/schedule/one_f_one_b.h"

#include <algorithm>

namespace millrace {

Schedule OneFOneB(int stages, int micro_batches) {
  Schedule schedule{.stages = stages, .micro_batches = micro_batches};
  for (int s = 0; s < stages; ++s) {
    schedule.rank_of_stage.push_back(s);
    std::vector<Action>& list = schedule.ranks.emplace_back();
    const int warm_up = std::min(stages - s - 1, micro_batches);
    int forward = 0, backward = 0;
    while (forward < warm_up) list.push_back({s, proto::F, forward++});
    while (forward < micro_batches) {
      list.push_back({s, proto::F, forward++});
      list.push_back({s, proto::BW, backward++});
    }
    while (backward < micro_batches) list.push_back({s, proto::BW, backward++});
  }
  return schedule;
}

}  // namespace millrace
