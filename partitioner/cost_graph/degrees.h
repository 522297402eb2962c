// Piper's planner (Tarnawski et al. 2021): a chain of stages, each with a data-parallel and a tensor-parallel degree
// and a variant (recomputed or not) for each of its layers. Time and memory by the rules in docs/partitioner.md.
//
// The search asks, for a time that no stage may exceed, whether the devices suffice, and halves the interval of that
// time. For one such time it goes through the down-sets from the end and keeps, for each, the pairs (devices, sum of
// data-parallel degrees) of the stages behind it of which none is better in both: a stage's memory depends on what is
// behind it by that sum alone. Of the data-parallel degrees of a stage only the least that is fast enough and fits can
// be of use, since a larger one takes more devices and more memory of the stages before. The variants of a stage are a
// knapsack: least time within the memory that is left.
#ifndef PARTITIONER_COST_GRAPH_DEGREES_H_
#define PARTITIONER_COST_GRAPH_DEGREES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/cost_graph/variant_graph.h"

namespace millrace {

struct DegreeStage {
  std::vector<int> nodes;     // ascending
  std::vector<int> variants;  // of each node, among those of tensor_degree
  int data_degree = 1, tensor_degree = 1;
  // Set by EvaluateDegrees. Seconds of one micro-batch.
  double compute = 0, communication = 0, reduction = 0;
  double bytes = 0;  // of a device
  double seconds() const { return compute + communication + reduction; }
};

struct DegreePlan {
  double seconds = 0;  // of the slowest stage
  std::vector<DegreeStage> stages;
  int64_t devices = 0;  // that it takes
  bool exact = false;   // over all down-sets
  std::string method;
};

// The fastest plan on at most graph.devices devices. Over all down-sets where they are few, else over the prefixes of
// several topological orders; `exact` refuses the latter: RESOURCE_EXHAUSTED. INVALID_ARGUMENT for no devices, no
// micro-batches or no bandwidth; FAILED_PRECONDITION, with how much is missing, when nothing fits the memory.
absl::StatusOr<DegreePlan> PlanDegrees(const VariantGraph& graph, bool exact);

// The stages' figures from their nodes, degrees and variants alone. INVALID_ARGUMENT names the rule that is broken.
absl::StatusOr<DegreePlan> EvaluateDegrees(const VariantGraph& graph, std::vector<DegreeStage> stages);

}  // namespace millrace

#endif  // PARTITIONER_COST_GRAPH_DEGREES_H_
