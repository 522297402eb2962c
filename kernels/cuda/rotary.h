// RotaryEmbedding.
#ifndef KERNELS_CUDA_ROTARY_H_
#define KERNELS_CUDA_ROTARY_H_

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/rotary_math.h"

namespace millrace::cuda {

struct RotaryCall {
  Element type;  // f32, bf16 or f16, of all operands
  RotaryShape shape;
  float direction = 1;  // -1 turns back
  const void* x = nullptr;
  const void* cosine = nullptr;  // [at least positions, half]
  const void* sine = nullptr;
  void* y = nullptr;
};
Code LaunchRotary(const RotaryCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ROTARY_H_
