// Bound by memory: two accesses per element, three for the gradient: 8 (12) bytes in f32, 4 (6) in bf16 and f16. Rows
// longer than a block's registers hold are read three times (twice), then mostly from the level-2 cache. The two expf
// per element come close to that bound in 16 bits.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/row_elements.cuh"
#include "kernels/cuda/softmax.h"

namespace millrace::cuda {
namespace {

template <int N, typename Row>
__device__ __forceinline__ float LargestOfRow(const Row& row, const RowThread& part, float* shared) {
  float most = MaxOf::kNeutral;
  row.ForEach([&](const float(&x)[N], int64_t j) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (j + k < part.columns) most = MaxOf()(most, x[k]);
    }
  });
  return RowReduce(most, MaxOf(), part.threads, shared);
}

template <int N, typename Row>
__device__ __forceinline__ float SumOfExponentials(const Row& row, const RowThread& part, float most, float* shared) {
  float sum = 0;
  row.ForEach([&](const float(&x)[N], int64_t j) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (j + k < part.columns) sum += expf(x[k] - most);
    }
  });
  return RowReduce(sum, SumOf(), part.threads, shared);
}

template <typename T, int N, bool kept>
__global__ void __launch_bounds__(kRowThreads) SoftmaxKernel(SoftmaxCall call, int threads_per_row) {
  __shared__ float shared[kWarp];
  const int rows_per_block = blockDim.x / threads_per_row;
  const RowThread part = {call.columns, static_cast<int>(threadIdx.x) % threads_per_row, threads_per_row};
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block; first < call.rows;
       first += static_cast<int64_t>(gridDim.x) * rows_per_block) {
    const int64_t row = first + threadIdx.x / threads_per_row;
    if (row >= call.rows) continue;  // only where a group is a warp, which meets no block barrier
    const int64_t label = call.labels == nullptr ? -1 : call.labels[row];
    const bool ignored = call.labels != nullptr && label == call.ignore;
    const RowElements<T, N, kept> elements(static_cast<const T*>(call.x) + row * call.columns, part);
    const float most = LargestOfRow<N>(elements, part, shared);
    const float scale = 1.0f / SumOfExponentials<N>(elements, part, most, shared);
    T* y = static_cast<T*>(call.y) + row * call.columns;
    elements.ForEach([&](const float(&x)[N], int64_t j) {
      float result[N];
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float taken = j + k == label ? 1.0f : 0.0f;
        result[k] = ignored ? 0.0f : expf(x[k] - most) * scale - taken;
      }
      StoreUpTo(result, call.columns - j, y + j);
    });
  }
}

template <typename T, int N, bool kept>
__global__ void __launch_bounds__(kRowThreads) SoftmaxGradKernel(SoftmaxGradCall call, int threads_per_row) {
  __shared__ float shared[kWarp];
  const int rows_per_block = blockDim.x / threads_per_row;
  const RowThread part = {call.columns, static_cast<int>(threadIdx.x) % threads_per_row, threads_per_row};
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block; first < call.rows;
       first += static_cast<int64_t>(gridDim.x) * rows_per_block) {
    const int64_t row = first + threadIdx.x / threads_per_row;
    if (row >= call.rows) continue;
    const RowElements<T, N, kept> dys(static_cast<const T*>(call.dy) + row * call.columns, part);
    const RowElements<T, N, kept> ys(static_cast<const T*>(call.y) + row * call.columns, part);
    float dot = 0;
    dys.ForEachWith(ys, [&](const float(&dy)[N], const float(&y)[N], int64_t) {
#pragma unroll
      for (int k = 0; k < N; ++k) dot += dy[k] * y[k];  // zeros behind the end
    });
    dot = RowReduce(dot, SumOf(), part.threads, shared);
    T* dx = static_cast<T*>(call.dx) + row * call.columns;
    dys.ForEachWith(ys, [&](const float(&dy)[N], const float(&y)[N], int64_t j) {
      float result[N];
#pragma unroll
      for (int k = 0; k < N; ++k) result[k] = y[k] * (dy[k] - dot);
      StoreUpTo(result, call.columns - j, dx + j);
    });
  }
}

}  // namespace

Code LaunchSoftmax(const SoftmaxCall& call, StreamHandle stream) {
  const auto launch = [&]<typename T, int N, bool kept>(const RowLaunch& at) {
    return LaunchKernel(SoftmaxKernel<T, N, kept>, at.launch, stream, call, at.threads_per_row);
  };
  return LaunchRows(call.type, call.rows, call.columns, {Address(call.x), Address(call.y)}, launch);
}

Code LaunchSoftmaxGrad(const SoftmaxGradCall& call, StreamHandle stream) {
  const auto launch = [&]<typename T, int N, bool kept>(const RowLaunch& at) {
    return LaunchKernel(SoftmaxGradKernel<T, N, kept>, at.launch, stream, call, at.threads_per_row);
  };
  return LaunchRows(call.type, call.rows, call.columns, {Address(call.dy), Address(call.y), Address(call.dx)}, launch);
}

}  // namespace millrace::cuda
