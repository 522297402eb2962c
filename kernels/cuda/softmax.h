// Softmax over rows, its gradient, and the gradient of the cross-entropy of softmax.
#ifndef KERNELS_CUDA_SOFTMAX_H_
#define KERNELS_CUDA_SOFTMAX_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct SoftmaxCall {
  Element type;  // f32, bf16 or f16
  int64_t rows = 0, columns = 0;
  const void* x = nullptr;
  void* y = nullptr;
  // With labels, one per row, 1 is taken off at the label, and a row whose label is `ignore` is zeros.
  const int64_t* labels = nullptr;
  int64_t ignore = -100;
};
Code LaunchSoftmax(const SoftmaxCall& call, StreamHandle stream);

// dx = y * (dy - the row's sum of dy * y)
struct SoftmaxGradCall {
  Element type;
  int64_t rows = 0, columns = 0;
  const void* dy = nullptr;
  const void* y = nullptr;
  void* dx = nullptr;
};
Code LaunchSoftmaxGrad(const SoftmaxGradCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_SOFTMAX_H_
