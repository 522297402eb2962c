// A graph as a chain of units, the form in which cuts are chosen.
//
// Units (what must stay together) stand in topological order; a stage is a run of neighbouring units, in this order or
// in another one that keeps `before`. A tensor belongs to the units that make and use it and crosses every border that
// separates two of them, whichever way: activations go to later stages, gradients to earlier ones.
#ifndef PARTITIONER_CUT_LINEARISE_H_
#define PARTITIONER_CUT_LINEARISE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/cost/graph_costs.h"
#include "partitioner/graph/graph.h"

namespace millrace {

struct ChainUnit {
  std::string last_node;  // name of its last forward node
  // Seconds of its nodes of each phase, by device; B and W are spent as often as F.
  std::vector<double> forward, backward, weight;
  uint64_t parameter_bytes = 0;  // of the parameters it is first to use
  uint64_t stash_bytes = 0;      // of its forward nodes' results that B or W reads
};

struct ChainTensor {
  uint64_t bytes = 0;
  std::vector<int> units;  // two or more, ascending: its maker's and its users'
};

struct Chain {
  std::vector<ChainUnit> units;
  std::vector<ChainTensor> tensors;  // only those that could cross
  std::vector<int> unit_of_node;     // of every node of the graph, also B and W
  // By unit: those that may stand in no later stage than it, ascending, all of lower number. Empty: the order of the
  // units is the only one.
  std::vector<std::vector<int>> before;

  double Seconds(int unit, int device) const;
};

// `graph` may be differentiated or not.
Chain Linearise(const Graph& graph, const std::vector<NodeCost>& costs);

}  // namespace millrace

#endif  // PARTITIONER_CUT_LINEARISE_H_
