// Any model graph as a chain on paper, by the costs of its own nodes: for graphs that are no transformer. They cannot
// be divided over tensor-parallel ranks on paper, because nobody says how.
#ifndef PARTITIONER_SEARCH_GRAPH_CHAIN_H_
#define PARTITIONER_SEARCH_GRAPH_CHAIN_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "partitioner/paper/chain.h"
#include "partitioner/paper/machine.h"
#include "partitioner/paper/transformer.h"
#include "proto/model.pb.h"

namespace millrace {

// The graph is checked, rewritten and differentiated as for a plan; a piece is a unit of it, in the order of the graph.
// A node takes the longer of its FLOPs at what the device reaches (matrix multiplications; 0.6 of it in attention, 0.1
// elsewhere) and its memory traffic, and a kernel's fixed cost. As for transformers, elements have 2 bytes. A tensor
// that goes past several borders is sent over each. Full recomputation keeps what a stage receives, and makes the whole
// stage again; there is no selective one: INVALID_ARGUMENT. Other errors are those of the passes.
absl::StatusOr<PaperChain> ChainOf(const proto::Model& model, const PaperDevice& device, int64_t micro_batch,
                                   ActivationRecompute recompute);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_GRAPH_CHAIN_H_
