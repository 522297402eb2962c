#include "partitioner/schedule/zb_h.h"

#include <algorithm>

namespace millrace {

Schedule ZbPattern(const std::vector<int>& warm_up, const std::vector<int>& w_lag, int micro_batches) {
  const int stages = static_cast<int>(warm_up.size());
  Schedule schedule{.stages = stages, .micro_batches = micro_batches};
  for (int s = 0; s < stages; ++s) {
    schedule.rank_of_stage.push_back(s);
    std::vector<Action>& list = schedule.ranks.emplace_back();
    list.reserve(3 * micro_batches);
    int f = 0, w = 0;
    while (f < std::min(warm_up[s], micro_batches)) list.push_back({s, proto::F, f++});
    for (int b = 0; b < micro_batches; ++b) {
      list.push_back({s, proto::B, b});
      if (b + 1 - w > w_lag[s]) list.push_back({s, proto::W, w++});
      if (f < micro_batches) list.push_back({s, proto::F, f++});
    }
    while (w < micro_batches) list.push_back({s, proto::W, w++});
  }
  return schedule;
}

Schedule ZbH1(int stages, int micro_batches) {
  std::vector<int> warm_up, w_lag;
  for (int s = 0; s < stages; ++s) {
    warm_up.push_back(stages - s);
    w_lag.push_back(s);
  }
  return ZbPattern(warm_up, w_lag, micro_batches);
}

Schedule ZbH2(int stages, int micro_batches) {
  std::vector<int> warm_up, w_lag;
  for (int s = 0; s < stages; ++s) {
    warm_up.push_back(2 * (stages - 1 - s) + 1);
    w_lag.push_back(2 * s);
  }
  return ZbPattern(warm_up, w_lag, micro_batches);
}

}  // namespace millrace
