// The cost of every node of a graph on every device.
#ifndef PARTITIONER_COST_GRAPH_COSTS_H_
#define PARTITIONER_COST_GRAPH_COSTS_H_

#include <string>
#include <vector>

#include "partitioner/cost/cost_model.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// Does the node make no kernel call, because its results are the same bytes as its input?
bool IsView(const Graph& graph, const GraphNode& node);

struct NodeCost {
  std::string key;  // OpDesc::Key(); empty for views
  double flops = 0;
  double bytes = 0;
  std::vector<double> seconds;         // by device, alone
  std::vector<double> seconds_shared;  // by device, with the ranks that share its cores busy
  bool measured = false;               // on every device
};

// Parallel to graph.nodes.
std::vector<NodeCost> CostsOf(const Graph& graph, const CostModel& model, int devices);

// One node per line, on the first device. For --dump.
std::string CostsText(const Graph& graph, const std::vector<NodeCost>& costs);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_COSTS_H_
