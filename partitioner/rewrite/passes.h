// The rewrites, one file each. Every one takes a tidy graph of F nodes and returns a tidy one.
#ifndef PARTITIONER_REWRITE_PASSES_H_
#define PARTITIONER_REWRITE_PASSES_H_

#include <string>
#include <vector>

#include "partitioner/graph/graph.h"

namespace millrace {

// Drops nodes that neither loss, count nor logits need, and the activations and inputs that then nobody reads;
// renumbers; recomputes producers and consumers; every node its own unit.
Graph Tidy(Graph graph);

// Identity and Dropout of ratio 0 vanish; `all_dropout`: every Dropout does.
Graph RemoveIdentities(Graph graph, bool all_dropout);

// MatMul, and Gemm where it can be, become FusedMatMul; a Transpose of a 2-D parameter becomes transB (transA for a
// Gemm that stays). packed=1 where B is a parameter, if `pack`.
Graph FormMatMuls(Graph graph, bool pack);

// FusedMatMul(x, parameter) [Reshape...] -> SoftmaxCrossEntropyLoss => LinearCrossEntropy.
Graph JoinLinearCrossEntropy(Graph graph);

// FusedMatMul takes in the Add of a bias, then an activation, or else the Add of a residual.
Graph AbsorbEpilogues(Graph graph);

// Split in queries, keys and values -> Attention => Attention in its packed form.
Graph PackAttention(Graph graph);

// Marks the result of each Reshape as the same bytes as its input.
Graph MarkViews(Graph graph);

// Activations with several uses: a chain of two-way Forks, each directly before the use it serves and in its unit.
Graph InsertForks(Graph graph);

// Shared by the passes. The node that alone reads `value`, once; -1 when it has other readers or is a result.
int OnlyConsumer(const Graph& graph, int value);
// Index of a new activation like `spec`; the name is made unique by a suffix where it is taken.
int NewActivation(Graph* graph, const std::string& name, const TensorSpec& spec);
bool IsParameter(const Graph& graph, int value);

}  // namespace millrace

#endif  // PARTITIONER_REWRITE_PASSES_H_
