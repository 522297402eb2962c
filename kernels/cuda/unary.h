// Elementwise operators of one operand, and their gradients of two: y = f(x), dx = dy * f'(x or y).
#ifndef KERNELS_CUDA_UNARY_H_
#define KERNELS_CUDA_UNARY_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/scalar_math.h"

namespace millrace::cuda {

struct UnaryCall {
  MapOp op;
  Element type;             // f32, bf16 or f16, of all operands
  const void* a = nullptr;  // x; dY of a gradient
  const void* b = nullptr;  // of a gradient: X or Y
  void* y = nullptr;
  int64_t elements = 0;
};
Code LaunchUnary(const UnaryCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_UNARY_H_
