#include "partitioner/cut/by_hand.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "partitioner/cut/node_names.h"
#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<Cut> CutByHand(const Graph& graph, const Chain& chain, int stages,
                              const std::vector<std::string>& cut_after) {
  MR_RETURN_IF_ERROR(CheckStageCount(chain, stages));
  if (static_cast<int>(cut_after.size()) != stages - 1) {
    return absl::InvalidArgumentError(absl::StrCat("cut by hand: ", stages, " stages need ", stages - 1,
                                                   " names of last nodes; ", cut_after.size(), " are given"));
  }
  absl::flat_hash_map<absl::string_view, int> unit_of;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].phase == proto::F) unit_of.emplace(graph.nodes[n].name, chain.unit_of_node[n]);
  }
  Cut cut;
  cut.first_unit.push_back(0);
  for (size_t i = 0; i < cut_after.size(); ++i) {
    const auto found = unit_of.find(cut_after[i]);
    if (found == unit_of.end()) return UnknownNode(graph, "cut by hand", cut_after[i]);
    const int next = found->second + 1;
    if (next <= cut.first_unit.back()) {
      return absl::InvalidArgumentError(absl::StrCat("cut by hand: stage ", i, " would be empty: '", cut_after[i],
                                                     "' does not come after '", i == 0 ? "" : cut_after[i - 1],
                                                     "' in the model, or is in the same fused unit; the order is ",
                                                     "that of --dump=after:rewrite"));
    }
    if (next >= static_cast<int>(chain.units.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("cut by hand: '", cut_after[i], "' ends the model, so that nothing is left for stage ", i + 1));
    }
    cut.first_unit.push_back(next);
  }
  return cut;
}

}  // namespace millrace
