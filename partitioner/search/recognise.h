// Is a model graph a GPT or a Llama, and which one? Their layers can be divided over tensor-parallel ranks on paper; of
// any other graph only the nodes are known.
#ifndef PARTITIONER_SEARCH_RECOGNISE_H_
#define PARTITIONER_SEARCH_RECOGNISE_H_

#include "absl/status/statusor.h"
#include "partitioner/graph/graph.h"
#include "partitioner/paper/transformer.h"

namespace millrace {

// REQUIRES: BuildGraph's graph, before any rewriting. Equal blocks of one self-attention each, told by the operators
// and shapes between one Attention and the next; the matrices of Megatron's layer (QKV in one or three, projection, two
// of an MLP of 4 h) or of Llama's (Q, K, V, projection, and an MLP of gate, up and down); a SoftmaxCrossEntropyLoss
// over the vocabulary, its matrix tied to the token table or not; and as many parameters as Parameters() says, to one
// part in a hundred. INVALID_ARGUMENT says what is different.
absl::StatusOr<Transformer> RecogniseTransformer(const Graph& graph);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_RECOGNISE_H_
