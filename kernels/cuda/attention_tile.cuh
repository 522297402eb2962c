// What the passes of attention are made of. A block of 8 warps works on 32 "rows" against tiles of 32 "columns": warp w
// has rows 4w ... 4w + 3, lane l has column l of each tile, and afterwards elements l, l + 32, ... of the head's width.
// Forward and dQ have queries as rows and keys as columns; dK and dV the other way round.
#ifndef KERNELS_CUDA_ATTENTION_TILE_CUH_
#define KERNELS_CUDA_ATTENTION_TILE_CUH_

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/convert.cuh"

namespace millrace::cuda {

inline constexpr int kRowsPerWarp = 4, kAttentionWarps = kAttentionTile / kRowsPerWarp;
inline constexpr int kAttentionThreads = kWarp * kAttentionWarps;

// Rows [first, first + 32) of a matrix, as floats, into shared memory; zeros behind the last row.
template <typename T>
__device__ __forceinline__ void LoadTile(const T* from, int64_t row_stride, int64_t first, int64_t rows, int width,
                                         float* to) {
  const int stride = width | 1;
  for (int i = threadIdx.x; i < kAttentionTile * width; i += kAttentionThreads) {
    const int row = i / width, column = i % width;
    const bool inside = first + row < rows;
    to[row * stride + column] = inside ? ToFloat(from[(first + row) * row_stride + column]) : 0.0f;
  }
}

// dots[r] = row r of this warp times this lane's column.
__device__ __forceinline__ void Dots(const float* rows, const float* columns, int width, float (&dots)[kRowsPerWarp]) {
  const int stride = width | 1;
  const float* row = rows + threadIdx.x / kWarp * kRowsPerWarp * stride;
  const float* column = columns + threadIdx.x % kWarp * stride;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) dots[r] = 0;
#pragma unroll 4
  for (int d = 0; d < width; ++d) {
    const float x = column[d];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) dots[r] += row[r * stride + d] * x;
  }
}

// sums[r][i] += the sum over columns of weights[r][column] * column's element of this lane. `weights` is this warp's
// part, written before by all lanes and synchronised.
template <int kParts>
__device__ __forceinline__ void AddWeighted(const float* weights, const float* columns, int width,
                                            float (&sums)[kRowsPerWarp][kParts]) {
  const int stride = width | 1, lane = threadIdx.x % kWarp;
#pragma unroll 4
  for (int c = 0; c < kAttentionTile; ++c) {
    float weight[kRowsPerWarp];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) weight[r] = weights[r * kAttentionTile + c];
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int d = lane + i * kWarp;
      const float x = d < width ? columns[c * stride + d] : 0.0f;
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) sums[r][i] += weight[r] * x;
    }
  }
}

// Rows of this warp that exist, times factor[r], to memory.
template <typename T, int kParts>
__device__ __forceinline__ void StoreRows(const float (&sums)[kRowsPerWarp][kParts],
                                          const float (&factor)[kRowsPerWarp], int64_t first, int64_t rows, int width,
                                          int64_t row_stride, T* to) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int64_t row = first + threadIdx.x / kWarp * kRowsPerWarp + r;
    if (row >= rows) continue;
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      const int d = lane + i * kWarp;
      if (d < width) to[row * row_stride + d] = FromFloat<T>(sums[r][i] * factor[r]);
    }
  }
}

// Which (sample, head, tile of rows) a task is: tiles vary slowest and from the last to the first, because with a
// causal mask the last tiles of queries have the most to do.
struct AttentionTask {
  int64_t batch, head, first_row;
};
__device__ __forceinline__ AttentionTask TaskAt(int64_t task, int64_t heads, int64_t batch, int64_t tiles) {
  const int64_t per_tile = heads * batch;
  return {task % per_tile / heads, task % per_tile % heads, (tiles - 1 - task / per_tile) * kAttentionTile};
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ATTENTION_TILE_CUH_
