// A model on paper as a chain of pieces: what any run of them would do, hold and send as a stage. Values; any thread.
#ifndef PARTITIONER_PAPER_CHAIN_H_
#define PARTITIONER_PAPER_CHAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "partitioner/paper/layer_time.h"
#include "partitioner/paper/machine.h"
#include "partitioner/paper/transformer.h"

namespace millrace {

// On one tensor-parallel rank, for one micro-batch.
struct ChainPiece {
  std::string name;  // of its last node
  PhaseSeconds seconds;
  double parameters = 0;
  double stash_bytes = 0;   // from F to the end of the backward pass
  double moment_bytes = 0;  // while the backward pass runs
  double send_bytes = 0;    // to the piece after it, and as many back
  double entry_bytes = 0;   // more stash, if it is the first of its stage: what it received
};

struct PaperChain {
  std::vector<ChainPiece> pieces;
  double remade_bytes = 0;  // of any rank while the backward pass runs, once: a layer that is made again
  // Elements of the table that the first piece and the last share: where they are on two ranks both have it, and its
  // gradients are added up.
  double tied_parameters = 0;
};

// A piece is a layer, the first one with the token and position tables; the last is the output matrix with the loss.
// Sequence parallelism goes with tensor parallelism.
PaperChain ChainOf(const Transformer& model, const PaperMachine& machine, int64_t micro_batch, int64_t tensor_parallel,
                   ActivationRecompute recompute);

}  // namespace millrace

#endif  // PARTITIONER_PAPER_CHAIN_H_
