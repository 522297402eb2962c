// Cast between f32, f64, bf16, i32 and i64.
#ifndef KERNELS_CUDA_CAST_H_
#define KERNELS_CUDA_CAST_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct CastCall {
  Element from, to;  // different ones
  int64_t elements = 0;
  const void* x = nullptr;
  void* y = nullptr;
};
Code LaunchCast(const CastCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CAST_H_
