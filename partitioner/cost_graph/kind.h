// Which of the cost-graph formats a file is in.
#ifndef PARTITIONER_COST_GRAPH_KIND_H_
#define PARTITIONER_COST_GRAPH_KIND_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

enum class CostGraphKind {
  kDevicePlacement,  // JSON with "maxFPGAs": device_placement.h
  kVariants,         // JSON with "maxMemoryPerDevice": variant_graph.h
  kProfile,          // text: pipeline_graph.h
};

// By the first character that is no space, and the names of fields. INVALID_ARGUMENT for JSON of another kind, binary
// files and empty ones.
absl::StatusOr<CostGraphKind> KindOfCostGraph(absl::string_view text);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_KIND_H_
