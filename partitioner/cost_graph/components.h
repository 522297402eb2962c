// Strongly connected components (Tarjan 1972).
#ifndef PARTITIONER_COST_GRAPH_COMPONENTS_H_
#define PARTITIONER_COST_GRAPH_COMPONENTS_H_

#include <vector>

namespace millrace {

// Of every vertex, a number that the vertices on a common cycle share. Takes no stack that a long path could overflow.
std::vector<int> StronglyConnected(const std::vector<std::vector<int>>& edges);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_COMPONENTS_H_
