// Piper's JSON files (Tarnawski et al. 2021, "Piper: Multidimensional Planner for DNN Parallelization"): layers that
// run at several tensor-parallel degrees, each with variants (with recomputation and without). The format is in
// docs/partitioner.md.
#ifndef PARTITIONER_COST_GRAPH_VARIANT_GRAPH_H_
#define PARTITIONER_COST_GRAPH_VARIANT_GRAPH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// One way to run a layer at some tensor-parallel degree.
struct LayerVariant {
  std::string name;                   // "vanilla", "activation recomp"
  double seconds = 0;                 // of one micro-batch, forward and backward
  double parameter_bytes = 0;         // of one device, as gradients are reduced
  double bytes_per_micro_batch = 0;   // held for every micro-batch in flight,
  double fixed_bytes = 0;             // and whatever is in flight
  std::vector<double> sync_incoming;  // bytes on top of an edge that comes from another stage; as VariantNode.incoming
  std::vector<double> sync_outgoing;
};

struct VariantNode {
  int64_t id = 0;
  std::string name;
  std::map<int, std::vector<LayerVariant>> variants;  // by tensor-parallel degree
  std::vector<int> incoming, outgoing;                // edges
};

struct VariantEdge {
  int from = 0, to = 0;  // nodes
  double bytes = 0;
};

struct VariantGraph {
  std::vector<VariantNode> nodes;
  std::vector<VariantEdge> edges;
  // As the file says; callers may replace them.
  int64_t devices = 0;
  double memory_limit = 0;  // bytes of a device
  double bandwidth = 0;     // bytes/s
  int64_t micro_batches = 0;

  // By node: those that must be in no later stage.
  std::vector<std::vector<int>> Before() const;
};

// INVALID_ARGUMENT says what is wrong and where: a field that is missing or no number, a node twice, an edge from
// nowhere, a cycle.
absl::StatusOr<VariantGraph> ParseVariantGraph(absl::string_view text);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_VARIANT_GRAPH_H_
