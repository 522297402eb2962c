// Bound by shared memory at about a fifth of the device's float32 rate; tensor cores are cuBLASLt's. A block computes a
// tile of 32 x 32: its 256 threads take 4 rows of one column each, and walk over k in tiles of 32.
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/plain_gemm.h"

namespace millrace::cuda {
namespace {

constexpr int kTile = 32, kRowsPerThread = 4, kRowGroups = kTile / kRowsPerThread;

// Element (i, j) of a matrix, 0 outside of it.
template <typename T>
__device__ __forceinline__ float At(const PlainMatrix& x, int64_t batch, int64_t i, int64_t j, int64_t rows,
                                    int64_t columns) {
  if (i >= rows || j >= columns) return 0.0f;
  return ToFloat(static_cast<const T*>(x.memory)[batch * x.batch + i * x.row + j * x.column]);
}

template <typename In, typename Out>
__global__ void PlainGemmKernel(PlainGemmCall call) {
  // One more column, so that a column's elements lie in different banks.
  __shared__ float a[kTile][kTile + 1];
  __shared__ float b[kTile][kTile + 1];
  const int column = threadIdx.x % kTile, group = threadIdx.x / kTile;
  const int64_t tiles_n = CeilDiv(call.n, kTile), tiles = CeilDiv(call.m, kTile) * tiles_n;
  for (int64_t task = blockIdx.x; task < tiles * call.batch; task += gridDim.x) {
    const int64_t batch = task / tiles, tile = task % tiles;
    const int64_t i0 = tile / tiles_n * kTile, j0 = tile % tiles_n * kTile;
    float sums[kRowsPerThread] = {};
    for (int64_t l0 = 0; l0 < call.k; l0 += kTile) {
      for (int r = group; r < kTile; r += kRowGroups) {
        a[r][column] = At<In>(call.a, batch, i0 + r, l0 + column, call.m, call.k);
        b[r][column] = At<In>(call.b, batch, l0 + r, j0 + column, call.k, call.n);
      }
      __syncthreads();
      for (int l = 0; l < kTile; ++l) {
        const float factor = b[l][column];
#pragma unroll
        for (int r = 0; r < kRowsPerThread; ++r) sums[r] += a[group * kRowsPerThread + r][l] * factor;
      }
      __syncthreads();
    }
    const int64_t j = j0 + column;
    for (int r = 0; r < kRowsPerThread; ++r) {
      const int64_t i = i0 + group * kRowsPerThread + r;
      if (i >= call.m || j >= call.n) continue;
      const int64_t at = batch * call.d_stride + i * call.d_row + j;
      float value = call.alpha * sums[r];
      if (call.beta != 0.0f) value += call.beta * ToFloat(static_cast<const Out*>(call.c)[at]);
      static_cast<Out*>(call.d)[at] = FromFloat<Out>(value);
    }
  }
}

}  // namespace

Code LaunchPlainGemm(const PlainGemmCall& call, StreamHandle stream) {
  Launch at;
  at.threads = kTile * kRowGroups;
  at.blocks = std::min(CeilDiv(call.m, kTile) * CeilDiv(call.n, kTile) * call.batch, kMostStridingBlocks);
  return ForFloatType(call.in, [&]<typename T>(TypeTag<T>) {
    if (call.out == call.in) return LaunchKernel(PlainGemmKernel<T, T>, at, stream, call);
    if (call.out == Element::kF32) return LaunchKernel(PlainGemmKernel<T, float>, at, stream, call);
    return kInvalidValue;
  });
}

}  // namespace millrace::cuda
