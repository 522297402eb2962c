// Adds the backward nodes to a forward graph.
#ifndef PARTITIONER_AUTODIFF_DIFFERENTIATE_H_
#define PARTITIONER_AUTODIFF_DIFFERENTIATE_H_

#include "absl/status/statusor.h"
#include "partitioner/graph/graph.h"

namespace millrace {

// `graph` holds F nodes only, normally Rewrite(graph, Mode::kTrain)'s. The result holds the same nodes at the same
// indices, then the gradient nodes in the order in which one stage runs them (forward order reversed):
// - each with its forward_node, the unit inherited from it;
// - phase W where everything the node computes ends in accumulators without passing through a gradient node of another
//   forward node, else B. So a W node's results are never an activation's gradient, and the node can be delayed;
// - one accumulator value "grad/<parameter>@<node>" per use of a trainable parameter, listed in
//   GraphParameter.accumulators in graph order (F32, or F64 for F64 parameters), each written by one node;
// - LinearCrossEntropy gets its gradient outputs on the F node itself: "d/<x>" is produced, and the weight's
//   accumulator written, in F;
// - a Fork's gradient is the Add of its two, and no node where only one of them exists;
// - a Reshape's gradient is a Reshape, an alias as in the forward.
// Gradients of inputs, constants, frozen parameters, and of values that depend on no trainable parameter are not made.
// Gradients are of the unscaled sum `loss`.
// INVALID_ARGUMENT names a trainable parameter that does not reach the loss, or an operator without a gradient on its
// way; FAILED_PRECONDITION when the graph has no loss.
absl::StatusOr<Graph> Differentiate(const Graph& graph);

}  // namespace millrace

#endif  // PARTITIONER_AUTODIFF_DIFFERENTIATE_H_
