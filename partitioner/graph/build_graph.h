// The checker: a submitted model becomes a Graph, or is refused with a message that names the node and the field.
#ifndef PARTITIONER_GRAPH_BUILD_GRAPH_H_
#define PARTITIONER_GRAPH_BUILD_GRAPH_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "partitioner/graph/graph.h"
#include "proto/model.pb.h"

namespace millrace {

inline constexpr int64_t kMaxElements = int64_t{1} << 40;  // of one tensor
inline constexpr int kMaxRank = 8;
inline constexpr int kMaxNodes = 1000000;
inline constexpr int kMaxNameBytes = 512;

// Binds -1 to `micro_batch`, sorts the nodes topologically (keeping the submitted order where it is free to), infers
// every type and shape, gives each Dropout its random_key = RandomKey(name of its output). The model may be hostile:
// whatever it holds, the answer is a Graph or INVALID_ARGUMENT.
//
// The graph holds only F nodes, all units of their own, no aliases yet; `logits` names the value when the model does.
absl::StatusOr<Graph> BuildGraph(const proto::Model& model, int64_t micro_batch);

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_BUILD_GRAPH_H_
