// The dynamic programme under exact and default splits: the best chain of pieces through a lattice of down-sets.
#ifndef PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_
#define PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cost_graph/split.h"

namespace millrace {

struct ChainFound {
  std::optional<std::vector<SplitPiece>> pieces;
  bool gave_up = false;  // after `most_pieces`; `pieces` is then empty
};

// The best split whose borders are down-sets of `sets` and whose objective is below `bound`; no pieces when there is
// none. Looks at every piece between two of the sets that could be below the bound, at most so many.
ChainFound BestChain(const SplitProblem& problem, const DownSets& sets, double bound,
                     int64_t most_pieces = std::numeric_limits<int64_t>::max());

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_
