// Scores of some rows to losses and, in place, to the gradient of the scores; and the sum of all losses.
#ifndef KERNELS_CUDA_SOFTMAX_CHUNK_H_
#define KERNELS_CUDA_SOFTMAX_CHUNK_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

struct SoftmaxChunkCall {
  Element type;  // of the scores: f32, bf16, f16
  int64_t rows = 0, classes = 0;
  int64_t ld = 0;  // elements from one row to the next
  void* scores = nullptr;
  const int64_t* labels = nullptr;
  int64_t ignore = -100;
  double* losses = nullptr;  // one per row; 0 for an ignored row, NaN for a label that is no class
  bool gradient = false;     // scores become softmax - onehot, 0 for an ignored row
};
Code LaunchSoftmaxChunk(const SoftmaxChunkCall& call, StreamHandle stream);

// *loss = the sum of `losses`, *count (where given) = how many labels are not `ignore`. In a fixed order.
struct SumLossesCall {
  int64_t rows = 0;
  const double* losses = nullptr;
  const int64_t* labels = nullptr;
  int64_t ignore = -100;
  double* loss = nullptr;
  double* count = nullptr;
};
Code LaunchSumLosses(const SumLossesCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_SOFTMAX_CHUNK_H_
