// Expand: broadcasting, times a factor.
#ifndef KERNELS_CUDA_EXPAND_H_
#define KERNELS_CUDA_EXPAND_H_

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/walk.h"

namespace millrace::cuda {

struct ExpandCall {
  Element type;  // f32, bf16 or f16
  Walk walk;     // of the elements of y; a: strides of x
  float scale = 1;
  const void* x = nullptr;
  void* y = nullptr;
};
Code LaunchExpand(const ExpandCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_EXPAND_H_
