// PipeDream's partitioner (Narayanan et al. 2019, section 3.1): a chain of stages with a number of replicas each, on
// workers that are grouped in levels, each level with links of its own. Its rules, as the published program computes
// them, are in docs/partitioner.md.
#ifndef PARTITIONER_COST_GRAPH_REPLICATED_H_
#define PARTITIONER_COST_GRAPH_REPLICATED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/cost_graph/pipeline_graph.h"

namespace millrace {

struct WorkerLevel {
  int workers = 1;  // groups of the level below that a group of this level has
  double bytes_per_second = 0;
};

struct ReplicatedStage {
  std::vector<int> nodes;  // of the graph, ascending
  int replicas = 1;        // groups of the level below
  double seconds = 0;      // a minibatch
};

struct ReplicatedPlan {
  double seconds = 0;                   // the slowest stage
  std::vector<ReplicatedStage> stages;  // of the outermost level
  double data_parallel_seconds = 0;     // every worker with the whole network
  bool exact = false;                   // over all down-sets
  std::string method;
};

// `levels` from the inside out. All workers are used. Over all down-sets where they are few enough, else over the
// prefixes of several topological orders; `exact` refuses the latter. INVALID_ARGUMENT for no levels, no workers, or a
// bandwidth that is not positive; RESOURCE_EXHAUSTED when the down-sets or the workers are too many for the search.
absl::StatusOr<ReplicatedPlan> PlanReplicated(const PipelineGraph& graph, const std::vector<WorkerLevel>& levels,
                                              bool exact = false);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_REPLICATED_H_
