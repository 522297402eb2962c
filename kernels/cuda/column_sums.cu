// Bound by memory: one access per element of x; the partial sums are 1/512 of that. Two kernels, no atomics: first each
// block adds up 512 rows of some columns, then each column's partial sums are added in the order of the rows.
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

constexpr int kRowLanes = 8;  // warps of a block: warp w takes rows w, w + 8, ...

template <typename T, int N>
__global__ void PartialSumsKernel(const T* x, float* partial, int64_t rows, int64_t columns) {
  __shared__ float shared[kRowLanes][kWarp * N];
  const int lane = threadIdx.x % kWarp, row_lane = threadIdx.x / kWarp;
  const int64_t groups = CeilDiv(columns, kWarp * N), chunks = CeilDiv(rows, kRowsPerPartialSum);
  for (int64_t task = blockIdx.x; task < groups * chunks; task += gridDim.x) {
    const int64_t chunk = task / groups, column = task % groups * (kWarp * N) + lane * N;
    const int64_t first = chunk * kRowsPerPartialSum, last = min(first + kRowsPerPartialSum, rows);
    float sums[N] = {};
    if (column < columns) {
      for (int64_t row = first + row_lane; row < last; row += kRowLanes) {
        float values[N];
        LoadUpTo(x + row * columns + column, columns - column, values);
#pragma unroll
        for (int k = 0; k < N; ++k) sums[k] += values[k];
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) shared[row_lane][lane * N + k] = sums[k];
    __syncthreads();
    for (int j = threadIdx.x; j < kWarp * N; j += blockDim.x) {
      const int64_t at = task % groups * (kWarp * N) + j;
      float sum = 0;
      for (int r = 0; r < kRowLanes; ++r) sum += shared[r][j];
      if (at < columns) partial[chunk * columns + at] = sum;
    }
    __syncthreads();
  }
}

__global__ void AddPartialSumsKernel(const float* partial, float* sums, int64_t chunks, int64_t columns) {
  for (int64_t j = FirstElement<1>(); j < columns; j += GridStride<1>()) {
    float sum = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * columns + j];
    sums[j] += sum;
  }
}

template <typename T, int N>
Code LaunchPartial(const ColumnSumsCall& call, StreamHandle stream) {
  Launch at;
  at.threads = kWarp * kRowLanes;
  const int64_t tasks = CeilDiv(call.columns, kWarp * N) * CeilDiv(call.rows, kRowsPerPartialSum);
  at.blocks = std::min(tasks, kMostStridingBlocks);
  return LaunchKernel(PartialSumsKernel<T, N>, at, stream, static_cast<const T*>(call.x), call.partial, call.rows,
                      call.columns);
}

}  // namespace

Code LaunchColumnSums(const ColumnSumsCall& call, StreamHandle stream) {
  if (call.rows == 0 || call.columns == 0) return kSuccess;
  const Code code = ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const int n = VectorElements(sizeof(T), {Address(call.x), call.columns * sizeof(T)});
    return n == 1 ? LaunchPartial<T, 1>(call, stream) : LaunchPartial<T, kPerAccess<T>>(call, stream);
  });
  if (code != kSuccess) return code;
  return LaunchKernel(AddPartialSumsKernel, ForElements(call.columns, 1), stream,
                      static_cast<const float*>(call.partial), call.sums, CeilDiv(call.rows, kRowsPerPartialSum),
                      call.columns);
}

}  // namespace millrace::cuda
