// The device-placement JSON files of msr-fiddle/dnn-partitioning (Tarnawski et al. 2020) as split problems. The format
// and its conventions are in docs/partitioner.md.
#ifndef PARTITIONER_COST_GRAPH_DEVICE_PLACEMENT_H_
#define PARTITIONER_COST_GRAPH_DEVICE_PLACEMENT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "partitioner/cost_graph/split.h"

namespace millrace {

struct PlacementGraph {
  SplitProblem problem;                        // devices and memory as the file says
  std::vector<std::vector<int64_t>> node_ids;  // by unit: the file's nodes, ascending
  int nodes = 0, edges = 0, classes = 0;       // of the file; classes before any were joined
};

// Units are colour classes; classes on a cycle of order edges are one unit; and a unit that takes no time and has one
// forward neighbour alone is joined to it where that cannot make the best split worse: where it takes no memory either,
// or one device could hold all. `memory_limit`: bytes of an accelerator, in place of the file's. INVALID_ARGUMENT says
// what is wrong and where: a field that is missing or no number, a node twice, an edge from nowhere.
absl::StatusOr<PlacementGraph> ParseDevicePlacement(absl::string_view text,
                                                    absl::optional<double> memory_limit = absl::nullopt);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_DEVICE_PLACEMENT_H_
