// Nodes that stay on a stage the user chose, while the cut chooses for the others.
#ifndef PARTITIONER_CUT_PINS_H_
#define PARTITIONER_CUT_PINS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "partitioner/cut/linearise.h"
#include "partitioner/cut/pin.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// One a line: the name of a forward node, spaces or tabs, the number of its stage from 0; `#` begins a comment.
// `origin` stands for the file's name in messages. INVALID_ARGUMENT names the line.
absl::StatusOr<std::vector<Pin>> ParsePins(absl::string_view text, absl::string_view origin);

// By unit of the chain, which is Linearise(graph): its stage, or -1. INVALID_ARGUMENT: a name that no forward node has,
// a stage that there is none of, and, with both names, two stages for one unit or a node pinned to an earlier stage
// than one whose results lead to it.
absl::StatusOr<std::vector<int>> PinnedUnits(const Graph& graph, const Chain& chain, int stages,
                                             const std::vector<Pin>& pins);

}  // namespace millrace

#endif  // PARTITIONER_CUT_PINS_H_
