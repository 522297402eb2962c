// Dropout.
#ifndef KERNELS_CUDA_DROPOUT_H_
#define KERNELS_CUDA_DROPOUT_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/philox_math.h"

namespace millrace::cuda {

struct DropoutCall {
  Element type;  // f32, bf16 or f16
  int64_t elements = 0;
  PhiloxKey key;
  uint32_t threshold = 0;  // ratio in units of 2^-24, rounded up
  float scale = 1;         // of what is kept
  const void* x = nullptr;
  void* y = nullptr;
};
Code LaunchDropout(const DropoutCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_DROPOUT_H_
