// Add, Sub, Mul, Div with numpy's broadcasting.
#ifndef KERNELS_CUDA_BINARY_H_
#define KERNELS_CUDA_BINARY_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/scalar_math.h"
#include "kernels/cuda/walk.h"

namespace millrace::cuda {

struct BinaryCall {
  BinaryOp op;
  Element type;  // f32, bf16 or f16, of all operands
  Walk walk;     // of the elements of y; strides are those of a and b
  const void* a = nullptr;
  const void* b = nullptr;
  void* y = nullptr;
};
Code LaunchBinary(const BinaryCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_BINARY_H_
