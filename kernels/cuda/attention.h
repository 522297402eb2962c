// Attention and its gradient by our own kernels: deterministic, no atomics.
//
// FlashAttention (Dao, Fu, Ermon, Rudra, Re, 2022): tiles of queries and keys in shared memory, a running maximum and
// sum per query instead of the score matrix; backward recomputes the probabilities from the log-sum-exp.
#ifndef KERNELS_CUDA_ATTENTION_H_
#define KERNELS_CUDA_ATTENTION_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace millrace::cuda {

inline constexpr int kAttentionTile = 32;            // queries, and keys, of a tile
inline constexpr int64_t kMostAttentionWidth = 256;  // what four tiles in shared memory allow

// Sizes, and where rows lie. In the packed form k and v stand in the rows of q.
struct AttentionShape {
  Element type;  // f32, bf16, f16
  int64_t batch = 0, queries = 0, keys = 0, q_heads = 0, kv_heads = 0;
  int width = 0;                  // of a head
  int64_t q_row = 0, kv_row = 0;  // elements from one position to the next, of q and dq, of k, v, dk and dv
  bool causal = false, packed = false;
  float scale = 1;

  constexpr int64_t y_row() const { return q_heads * width; }
};

// The first element of each tensor; k and v of the packed form point into q. lse: f32 [batch, q_heads, queries], or
// null.
struct AttentionForwardCall {
  AttentionShape shape;
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  void* y = nullptr;
  float* lse = nullptr;
};
struct AttentionBackwardCall {
  AttentionShape shape;
  const void* dy = nullptr;
  const void* q = nullptr;
  const void* k = nullptr;
  const void* v = nullptr;
  const void* y = nullptr;
  const float* lse = nullptr;
  void* dq = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
  float* delta = nullptr;  // scratch, as many floats as lse: the dot products of dy and y
};

// Bytes of dynamic shared memory for `tiles` tiles of this width and the weights between two of them.
constexpr int AttentionSharedBytes(int tiles, int width, int weights) {
  const int stride = width | 1;  // odd: a column's elements lie in different banks
  return static_cast<int>(sizeof(float)) *
         (tiles * kAttentionTile * stride + weights * kAttentionTile * kAttentionTile + 2 * kAttentionTile);
}

// Any type and shape, by float32 arithmetic (attention_forward.cu, attention_backward.cu).
Code LaunchAttention(const AttentionForwardCall& call, StreamHandle stream);
Code LaunchAttentionGrad(const AttentionBackwardCall& call, StreamHandle stream);
// The first kernel of either gradient: call.delta.
Code LaunchAttentionDelta(const AttentionBackwardCall& call, StreamHandle stream);

// On the tensor cores (attention_mma_forward.cu, attention_mma_backward.cu): 16-bit types, heads of a multiple of 8 up
// to 128, every row 16-byte aligned, which the caller sees to for the first elements.
constexpr bool TakesTensorCores(const AttentionShape& s) {
  return (s.type == Element::kBF16 || s.type == Element::kF16) && s.width % 8 == 0 && s.width <= 128 && s.keys > 0 &&
         s.q_row % 8 == 0 && s.kv_row % 8 == 0;
}
Code LaunchMmaAttention(const AttentionForwardCall& call, StreamHandle stream);
Code LaunchMmaAttentionGrad(const AttentionBackwardCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ATTENTION_H_
