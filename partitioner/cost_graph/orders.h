// Topological orders of a split problem's units: what cuts over prefixes depend on.
#ifndef PARTITIONER_COST_GRAPH_ORDERS_H_
#define PARTITIONER_COST_GRAPH_ORDERS_H_

#include <cstdint>
#include <vector>

#include "partitioner/cost_graph/split.h"

namespace millrace {

// Deterministic rules, each read forwards and backwards: lowest index first, first ready first, last ready first (depth
// first), fewest open tensors first, longest way to the end first. Duplicates left out.
std::vector<std::vector<int>> RuleOrders(const SplitProblem& problem);

// Random among the ready units. Equal seeds, equal orders. With `group`, by unit, those of the lowest group come first
// as far as the order allows.
std::vector<int> RandomOrder(const SplitProblem& problem, uint64_t seed, const std::vector<int>* group = nullptr);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_ORDERS_H_
