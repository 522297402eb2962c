#include "partitioner/schedule/zb_v.h"

#include <limits>
#include <utility>

#include "partitioner/schedule/span.h"
#include "partitioner/schedule/v_block.h"

namespace millrace {

Schedule ZbV(int ranks, int micro_batches, const ScheduleCosts& costs) {
  const int limit = 4 * ranks;  // a chunk's micro-batch has two halves, a rank two chunks
  double best_span = std::numeric_limits<double>::infinity();
  Schedule best;
  // Which leaves the most useful room depends on the costs and on m.
  for (const VSteps& steps : {VSteps{2, 2, 2, 2}, {3, 1, 3, 1}, {2, 1, 2, 1}, {3, 3, 3, 3}, {1, 1, 1, 1}}) {
    const Schedule order = RepeatBlock(ranks, micro_batches, steps);
    if (order.stages == 0 || MostHeldHalves(WAfterB(order)) > limit) continue;
    Schedule schedule = BestOfBlock(order, costs, limit);
    const double span = *LongestSpan(schedule, costs);
    if (span >= best_span) continue;
    best_span = span;
    best = std::move(schedule);
  }
  return best;
}

}  // namespace millrace
