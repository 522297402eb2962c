#include "partitioner/cut/node_names.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "partitioner/cost/graph_costs.h"
#include "proto/edit_distance.h"

namespace millrace {

absl::Status UnknownNode(const Graph& graph, absl::string_view where, absl::string_view name) {
  std::string nearest;
  size_t distance = std::max<size_t>(2, name.size() / 2);
  for (const GraphNode& node : graph.nodes) {
    if (node.phase != proto::F || IsView(graph, node)) continue;
    const size_t d = EditDistance(name.substr(0, 128), absl::string_view(node.name).substr(0, 128));
    if (d < distance) distance = d, nearest = node.name;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": no node is named '", name.substr(0, 128), "'",
                   nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?"),
                   " Fused operators carry the name of their matrix multiplication; --dump=after:rewrite lists them"));
}

}  // namespace millrace
