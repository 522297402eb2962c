// LayerNormalization and RMSNormalization over rows.
#ifndef KERNELS_CUDA_NORMALIZATION_H_
#define KERNELS_CUDA_NORMALIZATION_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

// y = (x - mean) * inverse * scale + bias; inverse = 1 / sqrt(mean of (x - mean)^2 + epsilon). RMS: mean is 0.
struct NormalizationCall {
  Element type;  // f32, bf16 or f16, of x, scale, bias and y
  bool centred = true;
  int64_t rows = 0, columns = 0;
  float epsilon = 0;
  const void* x = nullptr;
  const void* scale = nullptr;
  const void* bias = nullptr;  // null: none
  void* y = nullptr;
  float* mean = nullptr;     // one per row; null: not wanted
  float* inverse = nullptr;  // likewise
};
Code LaunchNormalization(const NormalizationCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_NORMALIZATION_H_
