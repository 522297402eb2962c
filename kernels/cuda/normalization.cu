// Bound by memory: x is read once and y written once, 8 bytes per element in f32, 4 in bf16 and f16; scale and bias
// come from the caches. A row is kept in registers up to 8192 f32 or 16384 16-bit elements and read three times, mostly
// from the level-2 cache, beyond. The variance is summed around the mean, so large means do not cancel.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/normalization.h"
#include "kernels/cuda/row_elements.cuh"

namespace millrace::cuda {
namespace {

template <int N, typename Row>
__device__ __forceinline__ float SumOfRow(const Row& row, const RowThread& part, float* shared) {
  float sum = 0;
  row.ForEach([&](const float(&x)[N], int64_t) {
#pragma unroll
    for (int k = 0; k < N; ++k) sum += x[k];  // zeros behind the end
  });
  return RowReduce(sum, SumOf(), part.threads, shared);
}

template <int N, typename Row>
__device__ __forceinline__ float SquaresOfRow(const Row& row, const RowThread& part, float mean, float* shared) {
  float sum = 0;
  row.ForEach([&](const float(&x)[N], int64_t j) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float d = j + k < part.columns ? x[k] - mean : 0.0f;
      sum += d * d;
    }
  });
  return RowReduce(sum, SumOf(), part.threads, shared);
}

template <bool centred, typename T, int N, bool kept>
__global__ void __launch_bounds__(kRowThreads) NormalizationKernel(NormalizationCall call, int threads_per_row) {
  __shared__ float shared[kWarp];
  const int rows_per_block = blockDim.x / threads_per_row;
  const RowThread part = {call.columns, static_cast<int>(threadIdx.x) % threads_per_row, threads_per_row};
  const T* scale = static_cast<const T*>(call.scale);
  const T* bias = static_cast<const T*>(call.bias);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block; first < call.rows;
       first += static_cast<int64_t>(gridDim.x) * rows_per_block) {
    const int64_t row = first + threadIdx.x / threads_per_row;
    if (row >= call.rows) continue;  // only where a group is a warp, which meets no block barrier
    const RowElements<T, N, kept> elements(static_cast<const T*>(call.x) + row * call.columns, part);
    const float mean = centred ? SumOfRow<N>(elements, part, shared) / call.columns : 0.0f;
    const float variance = SquaresOfRow<N>(elements, part, mean, shared) / call.columns;
    const float inverse = 1.0f / sqrtf(variance + call.epsilon);
    if (part.thread == 0) {
      if (call.mean != nullptr) call.mean[row] = mean;
      if (call.inverse != nullptr) call.inverse[row] = inverse;
    }
    T* y = static_cast<T*>(call.y) + row * call.columns;
    elements.ForEach([&](const float(&x)[N], int64_t j) {
      const int64_t left = call.columns - j;
      float by[N], added[N] = {}, result[N];
      LoadUpTo(scale + j, left, by);
      if (bias != nullptr) LoadUpTo(bias + j, left, added);
#pragma unroll
      for (int k = 0; k < N; ++k) result[k] = (x[k] - mean) * inverse * by[k] + added[k];
      StoreUpTo(result, left, y + j);
    });
  }
}

}  // namespace

Code LaunchNormalization(const NormalizationCall& call, StreamHandle stream) {
  const auto launch = [&]<typename T, int N, bool kept>(const RowLaunch& at) {
    return LaunchKernel(call.centred ? NormalizationKernel<true, T, N, kept> : NormalizationKernel<false, T, N, kept>,
                        at.launch, stream, call, at.threads_per_row);
  };
  return LaunchRows(call.type, call.rows, call.columns,
                    {Address(call.x), Address(call.y), Address(call.scale), Address(call.bias)}, launch);
}

}  // namespace millrace::cuda
