// What one program is lowered from.
#ifndef PARTITIONER_LOWER_PROGRAM_SOURCE_H_
#define PARTITIONER_LOWER_PROGRAM_SOURCE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "partitioner/cost/graph_costs.h"
#include "partitioner/graph/graph.h"
#include "runtime/plan/action.h"

namespace millrace {

// A graph whose nodes have stages. Its loss and count, where it has them, are added to two metrics by Accumulate nodes
// of its own, appended to graph.nodes.
struct StagedGraph {
  Graph graph;
  std::vector<int> stage_of_node;
  int loss_sum = -1, loss_count = -1;  // values: what the Accumulate nodes add into; no bytes but the rank's metrics
};

StagedGraph StageGraph(Graph graph, std::vector<int> stage_of_node);

// Places a program's graph where the training graph's nodes are: each node on the stage of the training node of that
// name, but never before its producers; nodes without a namesake on the latest stage of their producers.
StagedGraph StageLike(const StagedGraph& train, Graph graph);

struct ProgramSource {
  std::string name;
  StagedGraph staged;
  Schedule schedule;
  int64_t micro_batch_size = 0;
  bool trains = false;
  std::vector<NodeCost> costs;     // by node
  std::vector<KernelNeeds> needs;  // by node
};

}  // namespace millrace

#endif  // PARTITIONER_LOWER_PROGRAM_SOURCE_H_
