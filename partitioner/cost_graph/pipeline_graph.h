// PipeDream's text profiles (Narayanan et al. 2019): one line a node, one line an edge. The format is in
// docs/partitioner.md.
#ifndef PARTITIONER_COST_GRAPH_PIPELINE_GRAPH_H_
#define PARTITIONER_COST_GRAPH_PIPELINE_GRAPH_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct ProfiledNode {
  std::string name;                                  // "node12"
  std::string description;                           // "ReLU(inplace)"
  double forward_seconds = 0, backward_seconds = 0;  // of one minibatch
  double activation_bytes = 0;                       // of its output; several outputs are added up
  double parameter_bytes = 0;
};

struct PipelineGraph {
  std::vector<ProfiledNode> nodes;         // by ascending number
  std::vector<std::pair<int, int>> edges;  // from, to

  // By node: those that must come first.
  std::vector<std::vector<int>> Before() const;
};

// The file as it stands. INVALID_ARGUMENT with the number of the line: a line of another form, a number that is
// missing, negative or not finite, a node twice, an edge from or to no node; a cycle.
absl::StatusOr<PipelineGraph> ParsePipelineGraph(absl::string_view text);

// Without what is no work: sources that are named Input..., whose time is that of loading data, and then, once, sinks
// named __getitem__..., outputs that nobody uses.
PipelineGraph Trimmed(const PipelineGraph& graph);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_PIPELINE_GRAPH_H_
