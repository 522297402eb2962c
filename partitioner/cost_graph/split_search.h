// The dynamic programme under exact and default splits: the best chain of pieces through a lattice of down-sets.
#ifndef PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_
#define PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_

#include <optional>
#include <vector>

#include "partitioner/cost_graph/down_sets.h"
#include "partitioner/cost_graph/split.h"

namespace millrace {

// The best split whose borders are down-sets of `sets` and whose objective is below `bound`; nothing when there is
// none. Time is that of the pairs of sets whose piece could be below the bound, times the units that each adds.
std::optional<std::vector<SplitPiece>> BestChain(const SplitProblem& problem, const DownSets& sets, double bound);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_SPLIT_SEARCH_H_
