// sums[j] += the sum of column j: the gradient of a bias.
#ifndef KERNELS_CUDA_COLUMN_SUMS_H_
#define KERNELS_CUDA_COLUMN_SUMS_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace millrace::cuda {

// Rows that one partial sum covers: by it alone the order of additions is fixed.
inline constexpr int64_t kRowsPerPartialSum = 512;
constexpr int64_t ColumnSumsScratch(int64_t rows, int64_t columns) {
  return static_cast<int64_t>(sizeof(float)) * CeilDiv(rows, kRowsPerPartialSum) * columns;
}

struct ColumnSumsCall {
  Element type;  // of x: f32, bf16, f16
  int64_t rows = 0, columns = 0;
  const void* x = nullptr;   // [rows, columns]
  float* partial = nullptr;  // ColumnSumsScratch bytes
  float* sums = nullptr;
};
Code LaunchColumnSums(const ColumnSumsCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_COLUMN_SUMS_H_
