// Where a stage's forward pass is divided for recomputation: each segment is made again from what stands at its
// beginning, and only one segment's activations are alive at a time (Chen et al. 2016, arXiv 1604.06174).
#ifndef PARTITIONER_LOWER_SEGMENTS_H_
#define PARTITIONER_LOWER_SEGMENTS_H_

#include <vector>

#include "partitioner/graph/graph.h"

namespace millrace {

struct Segments {
  std::vector<int> first;  // by segment: position in the list of nodes; first[0] = 0, ascending
  std::vector<int> kept;   // root values that are made in one segment and read in a later one, each once
};

// Divides `nodes`, forward nodes of one stage in order of execution. `segments` > 0: into that many, or as many as
// there are places to divide; 0: into as many as take the fewest bytes, counted as
//   in_flight * bytes kept + bytes that the largest segment makes and does not keep,
// because every micro-batch in flight keeps a copy and only one is made again at a time. Places to divide are those
// where no fewer bytes cross right before or after: one tensor, between the layers of most networks. Segments are of
// about equal bytes.
Segments DivideForward(const Graph& graph, const std::vector<int>& nodes, int segments, int in_flight);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_SEGMENTS_H_
