// The sizes of one attention call, where each head's rows lie, and the two passes over one head.
//
// FlashAttention (Dao, Fu, Ermon, Rudra, Re, 2022): queries and keys are taken in tiles; a running maximum and sum per
// query replace the whole score matrix, which never exists. Backward recomputes the probabilities from the stored
// log-sum-exp, with delta = rowsum(dY * Y) in place of the sum over keys.
#ifndef KERNELS_CPU_ATTENTION_SHAPE_H_
#define KERNELS_CPU_ATTENTION_SHAPE_H_

#include <cstdint>

#include "kernels/cpu/blocks.h"
#include "kernels/op_desc.h"

namespace millrace::cpu {

// Queries and keys per tile. Tiles above the diagonal are skipped; those on it are worked in strips.
inline constexpr int64_t kAttentionTile = 64;
inline constexpr int64_t kAttentionStrip = 16;
// Scratch is divided among at most so many groups of heads; a group's heads are one after the other in one task.
inline constexpr int64_t kAttentionGroups = 16;

struct AttentionShape {
  int64_t batch, queries, keys, q_heads, kv_heads, dim;
  int64_t padded_dim;  // dim, in whole vectors of any instruction set
  bool causal, packed;
  float scale;
  int64_t q_row, kv_row;  // elements from one row of q (k, v) to the next

  // From the inputs of Attention: q, k, v as they stand in the desc of Attention; AttentionGrad has them one later.
  static AttentionShape Of(const OpDesc& desc, int first_input);

  int64_t group_size() const { return q_heads / kv_heads; }
  int64_t y_row() const { return q_heads * dim; }
};

// Addresses of whole tensors; in the packed form k and v point into q. Head offsets are added by the passes.
struct AttentionForward {
  const float *q, *k, *v;
  float *y, *lse;  // lse may be null
};
struct AttentionBackward {
  const float *dy, *q, *k, *v, *y, *lse;
  float *dq, *dk, *dv;
};

// Floats of scratch that one head needs.
int64_t AttentionForwardScratch(const AttentionShape& shape);
int64_t AttentionBackwardScratch(const AttentionShape& shape);
// Head `head` of sample `batch`: a query head forward, a key head (with all query heads that read it) backward.
void AttentionForwardHead(const AttentionShape& shape, const AttentionForward& call, int64_t batch, int64_t head,
                          float* scratch);
void AttentionBackwardHead(const AttentionShape& shape, const AttentionBackward& call, int64_t batch, int64_t head,
                           float* scratch);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_ATTENTION_SHAPE_H_
