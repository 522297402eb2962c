#include "partitioner/cost_graph/kind.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "partitioner/cost_graph/json_fields.h"
#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<CostGraphKind> KindOfCostGraph(absl::string_view text) {
  const absl::string_view begin = absl::StripLeadingAsciiWhitespace(text);
  if (begin.empty()) return absl::InvalidArgumentError("cost graph: the file is empty");
  if (begin[0] == '{' || begin[0] == '[') {
    MR_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text));
    if (json.contains("maxFPGAs")) return CostGraphKind::kDevicePlacement;
    if (json.contains("maxMemoryPerDevice")) return CostGraphKind::kVariants;
    return absl::InvalidArgumentError(
        "cost graph: it is JSON, but has neither 'maxFPGAs' (device placement) nor 'maxMemoryPerDevice' (Piper)");
  }
  if (absl::StartsWith(begin, "node")) return CostGraphKind::kProfile;
  return absl::InvalidArgumentError(
      "cost graph: it is neither JSON nor a PipeDream profile, whose lines begin with node1, node2, ...");
}

}  // namespace millrace
