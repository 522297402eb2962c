// SquaredSums: the sum of squares of each block of elements, for the gradient's norm.
#ifndef KERNELS_CUDA_SQUARED_SUMS_H_
#define KERNELS_CUDA_SQUARED_SUMS_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct SquaredSumsCall {
  Element type;  // f32, bf16 or f16
  int64_t elements = 0, block = 0;
  const void* x = nullptr;
  double* sums = nullptr;  // one per block, the last of which may be shorter
};
Code LaunchSquaredSums(const SquaredSumsCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_SQUARED_SUMS_H_
