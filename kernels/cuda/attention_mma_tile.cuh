// What the passes of attention on tensor cores are made of. A block of 4 warps owns 64 rows, 16 a warp, and walks over
// tiles of columns. Forward and dQ have queries as rows and keys as columns; dK and dV the other way round.
#ifndef KERNELS_CUDA_ATTENTION_MMA_TILE_CUH_
#define KERNELS_CUDA_ATTENTION_MMA_TILE_CUH_

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

namespace millrace::cuda {

inline constexpr int kMmaWarps = 4, kMmaThreads = kWarp * kMmaWarps, kMmaRows = 16 * kMmaWarps;

// Elements of a tile's row in shared memory: 16 bytes more than the width, so that the eight rows of a matrix that
// ldmatrix reads at once lie in different banks.
template <int kWidth>
inline constexpr int kMmaStride = kWidth + 8;

template <typename T, int kWidth>
constexpr int MmaTileBytes(int rows) {
  return rows * kMmaStride<kWidth> * static_cast<int>(sizeof(T));
}

// kRows rows from `first` on, 16 bytes at a time, zeros behind the last row and behind `width`, a multiple of 8.
template <typename T, int kWidth, int kRows>
__device__ __forceinline__ void LoadMmaTile(const T* from, int64_t row_stride, int64_t first, int64_t rows, int width,
                                            T* to) {
  constexpr int kPieces = kWidth / 8;
  for (int i = threadIdx.x; i < kRows * kPieces; i += kMmaThreads) {
    const int row = i / kPieces, column = i % kPieces * 8;
    uint4 piece = make_uint4(0, 0, 0, 0);
    if (first + row < rows && column < width) {
      piece = *reinterpret_cast<const uint4*>(from + (first + row) * row_stride + column);
    }
    *reinterpret_cast<uint4*>(to + row * kMmaStride<kWidth> + column) = piece;
  }
}

// sums [16, kColumns] += this warp's 16 rows times the transposed columns; both stored [.., kWidth].
template <typename T, int kWidth, int kColumns>
__device__ __forceinline__ void MultiplyTransposed(const T* rows, const T* columns, float (&sums)[kColumns / 8][4]) {
  constexpr int kStride = kMmaStride<kWidth>;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  // A: matrices (rows 0-7, k 0-7), (rows 8-15, k 0-7), (rows 0-7, k 8-15), (rows 8-15, k 8-15).
  const T* const a_row = rows + (warp * 16 + lane % 16) * kStride + lane / 16 * 8;
  // B: matrices (columns 0-7, k 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15): two tiles of 8 columns.
  const T* const b_row = columns + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kWidth; k += 16) {
    uint32_t a[4];
    LoadMatrices<false>(a_row + k, a);
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      LoadMatrices<false>(b_row + n * 16 * kStride + k, b);
      MultiplyAdd(T(), a, b[0], b[1], sums[2 * n]);
      MultiplyAdd(T(), a, b[2], b[3], sums[2 * n + 1]);
    }
  }
}

// sums [16, kWidth] += weights [16, kColumns], rounded to T, times the columns, stored [kColumns, kWidth].
template <typename T, int kWidth, int kColumns>
__device__ __forceinline__ void MultiplyWeights(const float (&weights)[kColumns / 8][4], const T* columns,
                                                float (&sums)[kWidth / 8][4]) {
  constexpr int kStride = kMmaStride<kWidth>;
  const int lane = threadIdx.x % kWarp;
  // B, transposed on the way: matrices (k 0-7, n 0-7), (k 8-15, n 0-7), (k 0-7, n 8-15), (k 8-15, n 8-15).
  const T* const b_row = columns + lane % 16 * kStride + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < kColumns / 16; ++k) {
    const float(&low)[4] = weights[2 * k];
    const float(&high)[4] = weights[2 * k + 1];
    const uint32_t a[4] = {PackPair(T(), low[0], low[1]), PackPair(T(), low[2], low[3]),
                           PackPair(T(), high[0], high[1]), PackPair(T(), high[2], high[3])};
#pragma unroll
    for (int n = 0; n < kWidth / 16; ++n) {
      uint32_t b[4];
      LoadMatrices<true>(b_row + k * 16 * kStride + n * 16, b);
      MultiplyAdd(T(), a, b[0], b[1], sums[2 * n]);
      MultiplyAdd(T(), a, b[2], b[3], sums[2 * n + 1]);
    }
  }
}

// Of the values sums[..][2 i], sums[..][2 i + 1], i = 0 or 1, this is the row, within the block's 64.
__device__ __forceinline__ int MmaRow(int i) { return threadIdx.x / kWarp * 16 + threadIdx.x % kWarp / 4 + 8 * i; }
// Of sums[n][j] and sums[n][j + 2], j = 0 or 1, this is the column.
__device__ __forceinline__ int MmaColumn(int n, int j) { return n * 8 + threadIdx.x % 4 * 2 + j; }

// The warp's rows, times factor of row i, to memory, a pair of elements at a time.
template <typename T, int kWidth>
__device__ __forceinline__ void StoreMmaRows(const float (&sums)[kWidth / 8][4], float factor0, float factor1,
                                             int64_t first, int64_t rows, int width, int64_t row_stride, T* to) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t row = first + MmaRow(i);
    if (row >= rows) continue;
    const float factor = i == 0 ? factor0 : factor1;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      if (n * 8 >= width) continue;
      *reinterpret_cast<uint32_t*>(to + row * row_stride + MmaColumn(n, 0)) =
          PackPair(T(), sums[n][2 * i] * factor, sums[n][2 * i + 1] * factor);
    }
  }
}

// Which (sample, head, tile of rows) a task is: tiles vary slowest and from the last to the first, because with a
// causal mask the last tiles of queries have the most to do.
struct MmaTask {
  int64_t batch, head, first_row;
};
__device__ __forceinline__ MmaTask MmaTaskAt(int64_t task, int64_t heads, int64_t batch, int64_t tiles) {
  const int64_t per_tile = heads * batch;
  return {task % per_tile / heads, task % per_tile % heads, (tiles - 1 - task / per_tile) * kMmaRows};
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ATTENTION_MMA_TILE_CUH_
