// Bound by memory: dy is read once, and the rows of the table that occur are read and written once.
//
// Whoever adds rows of the same index in parallel must use atomics, whose order is anybody's guess. Here each row of
// the table has one owner: the block of the first position with that index, which follows the positions with the same
// index in their order. A first kernel finds them, comparing every index with every other: count^2 / 1e12 s or so, 0.1
// ms for 8 thousand positions of a micro-batch, 1 ms for 32 thousand.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/gather_grad.h"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// links[i]: the next position with the index of position i, or `count`. Its sign bit is set (the number inverted) where
// an earlier position has that index too, or where it is no row of the table.
__global__ void __launch_bounds__(kThreads) LinkKernel(GatherGradCall call) {
  __shared__ int64_t tile[kThreads];
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads; first < call.count;
       first += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t position = first + threadIdx.x;
    const int64_t mine = position < call.count ? call.indices[position] : -1;
    bool owns = mine >= 0 && mine < call.rows;
    int64_t next = call.count;
    for (int64_t begin = 0; begin < call.count; begin += kThreads) {
      __syncthreads();  // nobody still reads the last tile
      if (begin + threadIdx.x < call.count) tile[threadIdx.x] = call.indices[begin + threadIdx.x];
      __syncthreads();
      const int size = static_cast<int>(call.count - begin < kThreads ? call.count - begin : kThreads);
      for (int k = 0; k < size; ++k) {
        const int64_t other = begin + k;
        if (tile[k] != mine || other == position) continue;
        if (other < position) owns = false;
        if (other > position && other < next) next = other;
      }
    }
    if (position < call.count) call.links[position] = static_cast<int32_t>(owns ? next : ~next);
  }
}

constexpr int kAdders = 128;  // threads of a block

template <typename T, int N>
__global__ void __launch_bounds__(kAdders) AddRowsKernel(GatherGradCall call) {
  const T* dy = static_cast<const T*>(call.dy);
  const int64_t windows = CeilDiv(call.columns, kAdders * N);
  for (int64_t task = blockIdx.x; task < call.count * windows; task += gridDim.x) {
    const int64_t first = task / windows, column = task % windows * (kAdders * N) + threadIdx.x * N;
    if (call.links[first] < 0 || column >= call.columns) continue;
    const int64_t left = call.columns - column;
    float sum[N] = {};
    for (int64_t at = first; at < call.count;) {
      float values[N];
      LoadUpTo(dy + at * call.columns + column, left, values);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += values[k];
      const int32_t link = call.links[at];
      at = link < 0 ? ~link : link;
    }
    float* const to = call.table + call.indices[first] * call.columns + column;
    float now[N];
    LoadUpTo(to, left, now);
#pragma unroll
    for (int k = 0; k < N; ++k) now[k] += sum[k];
    StoreUpTo(now, left, to);
  }
}

// The widest access is that of the table, in float32.
constexpr int kFloats = kAccessBytes / sizeof(float);

template <typename T, int N>
Code LaunchAddRows(const GatherGradCall& call, StreamHandle stream) {
  Launch at;
  at.threads = kAdders;
  at.blocks = std::min(call.count * CeilDiv(call.columns, kAdders * N), kMostStridingBlocks);
  return LaunchKernel(AddRowsKernel<T, N>, at, stream, call);
}

}  // namespace

Code LaunchGatherGrad(const GatherGradCall& call, StreamHandle stream) {
  if (call.count == 0 || call.columns == 0) return kSuccess;
  Launch at;
  at.threads = kThreads;
  at.blocks = std::min(CeilDiv(call.count, int64_t{kThreads}), kMostStridingBlocks);
  if (const Code code = LaunchKernel(LinkKernel, at, stream, call); code != kSuccess) return code;
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool wide = call.columns % kFloats == 0 && VectorElements(1, {Address(call.dy), Address(call.table)}) > 1;
    return wide ? LaunchAddRows<T, kFloats>(call, stream) : LaunchAddRows<T, 1>(call, stream);
  });
}

}  // namespace millrace::cuda
