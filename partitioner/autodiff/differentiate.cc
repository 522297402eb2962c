#include "partitioner/autodiff/differentiate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partitioner/autodiff/rules.h"
#include "partitioner/autodiff/tape.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

GradientRule FindRule(absl::string_view op) {
  for (GradientRule (*family)(absl::string_view) : {MatrixRule, ElementwiseRule, LayerRule, LayoutRule}) {
    if (const GradientRule rule = family(op)) return rule;
  }
  return nullptr;
}

absl::Status CheckAllReached(const Graph& graph) {
  for (const GraphParameter& p : graph.parameters) {
    if (p.trainable && p.accumulators.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter \"", p.name,
                       "\" is trainable but its value never reaches the loss; connect it, or set "
                       "trainable: false"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status NoGradient(const Tape& tape, const std::string& why) {
  const GraphNode node = tape.Forward();
  return absl::InvalidArgumentError(
      absl::StrCat("node \"", node.name, "\" (", node.op, ") has no gradient here: ", why));
}

absl::StatusOr<Graph> Differentiate(const Graph& graph) {
  if (graph.loss < 0) return absl::FailedPreconditionError("the graph has no loss to differentiate");
  const int loss_node = graph.values[graph.loss].producer;
  Tape tape(graph);
  for (int n = graph.nodes.size(); n-- > 0;) {
    const GraphNode& node = graph.nodes[n];
    if (std::none_of(node.inputs.begin(), node.inputs.end(), [&](int v) { return tape.Needs(v); })) continue;
    const bool arrived =
        std::any_of(node.outputs.begin(), node.outputs.end(), [&](int v) { return tape.Gradient(v) >= 0; });
    if (n != loss_node && !arrived) continue;
    tape.Begin(n);
    const GradientRule rule = n == loss_node ? LossRule(node.op) : FindRule(node.op);
    if (rule == nullptr) return NoGradient(tape, "the operator has no gradient rule");
    MR_RETURN_IF_ERROR(rule(tape));
  }
  Graph differentiated = tape.Finish();
  MR_RETURN_IF_ERROR(CheckAllReached(differentiated));
  return differentiated;
}

}  // namespace millrace
