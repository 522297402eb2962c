// One choice for each item, with the least seconds that the bytes allow.
#ifndef PARTITIONER_COST_GRAPH_KNAPSACK_H_
#define PARTITIONER_COST_GRAPH_KNAPSACK_H_

#include <optional>
#include <vector>

namespace millrace {

struct KnapsackOption {
  double seconds = 0, bytes = 0;
};

struct KnapsackChoice {
  double seconds = 0;
  std::vector<int> options;  // by item
};

// Nothing when even the smallest options take more than `limit`. Goes through the pairs (seconds, bytes) that no other
// one beats in both, so it is exact up to rounding; where they become more than 20,000, neighbours in bytes are joined
// into the fastest that fits, which keeps the result valid and costs it some seconds at most.
std::optional<KnapsackChoice> LeastSeconds(const std::vector<std::vector<KnapsackOption>>& items, double limit);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_KNAPSACK_H_
