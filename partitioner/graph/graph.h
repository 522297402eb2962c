// The graph that the partitioner's passes hand to each other: typed, shaped, indexed. Each pass is a function from a
// Graph (and perhaps more) to a Graph (or a value of its own):
//
//   Model --BuildGraph--> Graph --Rewrite--> Graph --Differentiate--> Graph --AnalyticCosts--> costs --Cut--> stages
//
// A value type: copy it freely. Indices are stable within one Graph and mean nothing in another.
#ifndef PARTITIONER_GRAPH_GRAPH_H_
#define PARTITIONER_GRAPH_GRAPH_H_

#include <string>
#include <vector>

#include "kernels/op_desc.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// A tensor of the graph: produced once, or given.
struct GraphValue {
  enum class Kind {
    kInput,        // from the data source
    kParameter,    // trainable, frozen or constant
    kActivation,   // made by a node
    kAccumulator,  // a parameter's gradient at one place of use; written (+=) by nodes of B, W, or F
                   // (LinearCrossEntropy)
  };
  std::string name;  // of the submitted graph where it stands there; gradients are "d/<name>", accumulators
                     // "grad/<parameter>@<node>"
  TensorSpec spec;
  Kind kind = Kind::kActivation;
  int parameter = -1;          // kParameter, kAccumulator: index into Graph.parameters
  int producer = -1;           // node, kActivation only (an accumulator may have one writer node; it stands here too)
  std::vector<int> consumers;  // nodes, in node order; a node that reads it twice stands here twice
  // >= 0: this value is the same bytes as another one (Reshape, Fork): costs nothing, moves nothing.
  int alias_of = -1;
};

struct GraphNode {
  std::string name;
  std::string op;
  Attributes attributes;
  std::vector<int> inputs;   // values; -1 = absent
  std::vector<int> outputs;  // values; -1 = absent
  // F for the submitted nodes; B or W for those that Differentiate adds. W: every use of every output leads to
  // accumulators only, so the node can be delayed; this does not depend on the cut.
  proto::Phase phase = proto::F;
  // For B and W nodes: the forward node whose stage they belong to. For F nodes: itself.
  int forward_node = -1;
  // Nodes of one unit stay on one stage (what one fused kernel or a Fork holds together): index of the unit's
  // first forward node. Cuts fall only between units.
  int unit = -1;
};

struct GraphParameter {
  std::string name;
  TensorSpec spec;
  proto::Initializer initializer;
  bool trainable = true;
  bool constant = false;
  bool decay = false;
  int value = -1;
  // One accumulator value per place of use, in graph order. Filled by Differentiate.
  std::vector<int> accumulators;
};

struct Graph {
  std::string name;
  std::string model_hash;
  int64_t micro_batch_size = 0;
  std::vector<GraphValue> values;
  // Topologically sorted within each phase: all F nodes first, then B and W nodes in the order of one-stage execution.
  std::vector<GraphNode> nodes;
  std::vector<GraphParameter> parameters;
  std::vector<int> inputs;                 // values, in the order of the model
  std::vector<proto::Input> model_inputs;  // parallel to `inputs`, micro-batch still -1
  int loss = -1;                           // value: F64 scalar sum
  int count = -1;                          // value: F64 scalar
  int logits = -1;                         // value, -1: none

  // The call a node makes: shapes filled in from the values.
  OpDesc Desc(const GraphNode& node) const;
  // Follows alias_of to the value that owns the bytes.
  int Root(int value) const;
  // One node per line: "name op(inputs) -> outputs {attributes} phase unit". For --dump.
  std::string ToString() const;
};

}  // namespace millrace

#endif  // PARTITIONER_GRAPH_GRAPH_H_
