// Sums and maxima over a warp or a block, in a tree of fixed form: the same values give the same bits, always.
#ifndef KERNELS_CUDA_BLOCK_REDUCE_CUH_
#define KERNELS_CUDA_BLOCK_REDUCE_CUH_

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace millrace::cuda {

struct SumOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
  static constexpr float kNeutral = 0.0f;
};
struct MaxOf {
  // NaN wins, as in the reference's comparisons it must not be lost.
  __device__ __forceinline__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
  static constexpr float kNeutral = -__builtin_huge_valf();
};

// All 32 lanes take part and all get the result. With an xor pattern both partners add the same two values, and float
// addition commutes, so every lane has the same bits.
template <typename Op, typename T>
__device__ __forceinline__ T WarpReduce(T value, Op op) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value = op(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

// All threads of the block take part and all get the result. blockDim.x is a multiple of 32 and at most 1024. `shared`
// holds 32 values of the block and may be used again at once: the barrier is inside.
template <typename Op, typename T>
__device__ __forceinline__ T BlockReduce(T value, Op op, T* shared) {
  value = WarpReduce(value, op);
  const int warps = blockDim.x / kWarp;
  if (warps == 1) return value;
  __syncthreads();  // nobody still reads what an earlier call left
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  // Every warp reduces the same values by the same tree. A lane without a warp repeats a neutral element.
  value = threadIdx.x % kWarp < warps ? shared[threadIdx.x % kWarp] : static_cast<T>(Op::kNeutral);
  return WarpReduce(value, op);
}

// A group of `threads_per_row` threads (a warp, or the whole block) reduces its row's value.
template <typename Op, typename T>
__device__ __forceinline__ T RowReduce(T value, Op op, int threads_per_row, T* shared) {
  return threads_per_row == kWarp ? WarpReduce(value, op) : BlockReduce(value, op, shared);
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_BLOCK_REDUCE_CUH_
