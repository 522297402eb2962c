#include "partitioner/schedule/v_min.h"

#include <algorithm>

#include "partitioner/schedule/v_block.h"

namespace millrace {

Schedule VMin(int ranks, int micro_batches, const ScheduleCosts& costs) {
  const Schedule order = RepeatBlock(ranks, micro_batches, {1, 1, 1, 1});
  return BestOfBlock(order, costs, std::max(MostHeldHalves(order), MostHeldHalves(WAfterB(order))));
}

}  // namespace millrace
