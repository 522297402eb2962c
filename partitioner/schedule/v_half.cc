#include "partitioner/schedule/v_half.h"

#include <algorithm>

#include "partitioner/schedule/v_block.h"

namespace millrace {

Schedule VHalf(int ranks, int micro_batches, const ScheduleCosts& costs) {
  const Schedule order = RepeatBlock(ranks, micro_batches, {2, 1, 2, 1});
  // One half-chunk more than the least is enough room for W's to wait in.
  const int limit =
      std::max(std::min(MostHeldHalves(order), MostHeldHalves(WAfterB(order)) + 1), MostHeldHalves(WAfterB(order)));
  return BestOfBlock(order, costs, limit);
}

}  // namespace millrace
