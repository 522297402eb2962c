// Seconds of a transformer layer, and of the output matrix with the loss, on one of t tensor-parallel ranks.
//
// A layer is Megatron's (Shoeybi et al. 2019; SC21, section 2.3): columns of QKV and of the MLP's first matrix, rows of
// the projection and of the second, each rank its heads; two all-reduces of b s h in F and two in B. With full
// recomputation B runs F again, all-reduces included; with selective, the attention's two products and its softmax. A
// Llama's is divided likewise; its three matrices of QKV count as one, and so do gate and up.
#ifndef PARTITIONER_PAPER_LAYER_TIME_H_
#define PARTITIONER_PAPER_LAYER_TIME_H_

#include <cstdint>

#include "partitioner/paper/machine.h"
#include "partitioner/paper/transformer.h"

namespace millrace {

// Of one micro-batch, on each of the t ranks.
struct PhaseSeconds {
  double forward = 0;
  double backward_input = 0;  // what is made again included
  double backward_weight = 0;
  double tensor_parallel = 0;  // of the three above together: waiting for the all-reduces
};

PhaseSeconds LayerSeconds(const Transformer& model, const PaperMachine& machine, int64_t micro_batch,
                          int64_t tensor_parallel, ActivationRecompute recompute);

// Logits [b s, V / t], softmax and loss. Never made again.
PhaseSeconds OutputSeconds(const Transformer& model, const PaperMachine& machine, int64_t micro_batch,
                           int64_t tensor_parallel);

}  // namespace millrace

#endif  // PARTITIONER_PAPER_LAYER_TIME_H_
