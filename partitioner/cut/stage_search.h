// The dynamic programme of BestCut over a given lattice of down-sets.
#ifndef PARTITIONER_CUT_STAGE_SEARCH_H_
#define PARTITIONER_CUT_STAGE_SEARCH_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cut/best_cut.h"

namespace millrace {

enum class StageLoad {
  kSeconds,  // of its units, and of the tensors that cross its border
  kShare,    // of the memory limit
};

struct StageSearchFound {
  std::vector<int> stage_of_unit;  // empty: no cut is within the limit
  double largest = 0;              // load of a stage
  double bytes = 0;                // that cross borders, over all stages
  bool gave_up = false;            // after `most_pieces`
};

// The cut with the smallest largest load, of those that are at most `limit`, and of equal ones that with the fewest
// border bytes. Looks at no more than `most_pieces` runs of units.
StageSearchFound SearchStages(const Chain& chain, const CutRules& rules, const DownSets& sets, StageLoad load,
                              double limit, int64_t most_pieces);

}  // namespace millrace

#endif  // PARTITIONER_CUT_STAGE_SEARCH_H_
