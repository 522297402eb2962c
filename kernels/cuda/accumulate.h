// Accumulate: sums += x.
#ifndef KERNELS_CUDA_ACCUMULATE_H_
#define KERNELS_CUDA_ACCUMULATE_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct AccumulateCall {
  Element type;  // of x: f32, bf16 or f16, with sums in f32; or f64, with sums in f64
  int64_t elements = 0;
  const void* x = nullptr;
  void* sums = nullptr;
};
Code LaunchAccumulate(const AccumulateCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ACCUMULATE_H_
