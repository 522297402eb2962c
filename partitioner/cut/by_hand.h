// Stages as the user names them.
#ifndef PARTITIONER_CUT_BY_HAND_H_
#define PARTITIONER_CUT_BY_HAND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/cut/cut.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// `cut_after`: a forward node of each stage but the last. The stage ends with that node's unit: a name inside a unit
// means the unit's end. `chain` is Linearise(graph). INVALID_ARGUMENT: more or fewer names than stages - 1; a name that
// no forward node has (the nearest one is offered); names not in the order of the model, or that leave a stage empty.
absl::StatusOr<Cut> CutByHand(const Graph& graph, const Chain& chain, int stages,
                              const std::vector<std::string>& cut_after);

}  // namespace millrace

#endif  // PARTITIONER_CUT_BY_HAND_H_
