// An order in which every node comes after the nodes whose results it reads.
#ifndef PARTITIONER_GRAPH_TOPOLOGICAL_ORDER_H_
#define PARTITIONER_GRAPH_TOPOLOGICAL_ORDER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/model.pb.h"

namespace millrace {

// `producers[i]` are the nodes whose results node i reads. The submitted order is kept where it is free: among the
// nodes that may come next, the one submitted first does. INVALID_ARGUMENT names the nodes on a cycle.
absl::StatusOr<std::vector<int>> TopologicalOrder(const proto::Model& model,
                                                  const std::vector<std::vector<int>>& producers);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_TOPOLOGICAL_ORDER_H_
