// Bound by memory: one read per element, 4 bytes in f32. Squares are exact in double, where they are summed.
//
// The gradient's norm must not depend on how parameters are sharded. So the order of additions in a block depends on
// the block's size and nothing else: neither on how many blocks a shard has, nor on the alignment of its address.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/maybe_aligned.cuh"
#include "kernels/cuda/squared_sums.h"

namespace millrace::cuda {
namespace {

template <typename T, bool aligned>
__global__ void SquaredSumsKernel(SquaredSumsCall call, int64_t blocks, int threads_per_block) {
  constexpr int N = kPerAccess<T>;
  __shared__ double shared[kWarp];
  const T* x = static_cast<const T*>(call.x);
  const int groups = blockDim.x / threads_per_block, thread = threadIdx.x % threads_per_block;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * groups; first < blocks;
       first += static_cast<int64_t>(gridDim.x) * groups) {
    const int64_t block = first + threadIdx.x / threads_per_block;
    if (block >= blocks) continue;  // only where a group is a warp, which meets no block barrier
    const int64_t begin = block * call.block;
    const int64_t end = call.elements - begin < call.block ? call.elements : begin + call.block;
    double sum = 0;
    for (int64_t i = begin + thread * N; i < end; i += static_cast<int64_t>(threads_per_block) * N) {
      float values[N];
      LoadMaybeAligned<aligned>(x + i, end - i, values);
#pragma unroll
      for (int k = 0; k < N; ++k) sum += static_cast<double>(values[k]) * values[k];
    }
    sum = RowReduce(sum, SumOf(), threads_per_block, shared);
    if (thread == 0) call.sums[block] = sum;
  }
}

}  // namespace

Code LaunchSquaredSums(const SquaredSumsCall& call, StreamHandle stream) {
  const int64_t blocks = CeilDiv(call.elements, call.block);
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool aligned =
        VectorElements(sizeof(T), {Address(call.x), static_cast<uint64_t>(call.block) * sizeof(T)}) > 1;
    const RowLaunch at = ForRows(blocks, call.block, kPerAccess<T>, kThreads);
    return LaunchKernel(aligned ? SquaredSumsKernel<T, true> : SquaredSumsKernel<T, false>, at.launch, stream, call,
                        blocks, at.threads_per_row);
  });
}

}  // namespace millrace::cuda
