// Rewrites before the cut: fusion, views, forks, and what a program does not need. One file per rewrite.
#ifndef PARTITIONER_REWRITE_REWRITE_H_
#define PARTITIONER_REWRITE_REWRITE_H_

#include "absl/status/statusor.h"
#include "partitioner/graph/graph.h"

namespace millrace {

enum class Mode {
  kTrain,   // forward, to be differentiated; forks
  kEval,    // loss only: no Dropout, no forks
  kLogits,  // what the logits value needs: no Dropout, no loss, no labels, no packed weights
};

// `graph` is BuildGraph's. The result, in every mode:
// - holds only nodes that the loss (kLogits: the logits) needs; `loss` and `count` are -1 in kLogits, `logits` is -1
//   in the others;
// - keeps all parameters at their indices (a parameter that this mode does not need has no consumers), and only the
//   inputs that are needed;
// - has no Identity, and aliases for Reshape and Fork: those nodes stay in the list, cost nothing and make no call;
// - has `unit` filled: a Fork stands directly before its first consumer, in that consumer's unit; units are
//   contiguous runs of nodes.
// A fused node takes the name of its matrix multiplication and the place of its last member.
// FAILED_PRECONDITION for kLogits without model.logits.
absl::StatusOr<Graph> Rewrite(const Graph& graph, Mode mode);

}  // namespace millrace

#endif  // PARTITIONER_REWRITE_REWRITE_H_
