// Names of nodes that a user got wrong.
#ifndef PARTITIONER_CUT_NODE_NAMES_H_
#define PARTITIONER_CUT_NODE_NAMES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// INVALID_ARGUMENT: no forward node has this name; the nearest one that makes a call is offered. `where` begins the
// message: "cut by hand".
absl::Status UnknownNode(const Graph& graph, absl::string_view where, absl::string_view name);

}  // namespace millrace

#endif  // PARTITIONER_CUT_NODE_NAMES_H_
