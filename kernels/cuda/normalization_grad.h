// The gradients of LayerNormalization and RMSNormalization.
#ifndef KERNELS_CUDA_NORMALIZATION_GRAD_H_
#define KERNELS_CUDA_NORMALIZATION_GRAD_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace millrace::cuda {

// The rows whose contributions to dScale and dBias are added up by one block, in order, before they are added to those
// of the others: at most 1024 partial sums per column, or 16 rows to each.
inline constexpr int64_t kMostRowChunks = 1024, kFewestRowsPerChunk = 16;
constexpr int64_t RowsPerChunk(int64_t rows) { return std::max(kFewestRowsPerChunk, CeilDiv(rows, kMostRowChunks)); }
// Bytes of partial sums: two rows, of dScale and dBias, per chunk.
constexpr int64_t NormalizationGradScratch(int64_t rows, int64_t columns) {
  return static_cast<int64_t>(sizeof(float)) * 2 * CeilDiv(rows, RowsPerChunk(rows)) * columns;
}

// With xhat = (x - mean) * inverse and g = dy * scale: dx = inverse * (g - average(g) - xhat * average(g * xhat));
// RMS: without the mean and without average(g).
struct NormalizationGradCall {
  Element type;  // f32, bf16 or f16, of dy, x, scale and dx
  bool centred = true;
  int64_t rows = 0, columns = 0;
  const void* dy = nullptr;
  const void* x = nullptr;
  const void* scale = nullptr;
  const float* mean = nullptr;  // null for RMS
  const float* inverse = nullptr;
  void* dx = nullptr;
  float* d_scale = nullptr;  // added to; null: not wanted
  float* d_bias = nullptr;   // likewise
  float* partial = nullptr;  // NormalizationGradScratch bytes where d_scale or d_bias is wanted
};
Code LaunchNormalizationGrad(const NormalizationGradCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_NORMALIZATION_GRAD_H_
