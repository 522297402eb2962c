// Bound by memory: each score is read twice, the second time from the level-2 cache (a row of 50 thousand bf16 scores
// is 100 KB, and at most one row per block is in flight), and written once: 4 to 6 bytes per score in bf16. Two expf
// per score come close to that bound.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/softmax_chunk.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

constexpr float kLowest = -__builtin_huge_valf();

// Adds N scores to a running maximum and the sum of exponentials relative to it (Milakov & Gimelshein, 2018).
template <int N>
__device__ __forceinline__ void AddScores(const float (&x)[N], int64_t left, float* most, float* sum) {
  float largest = *most;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (k < left) largest = MaxOf()(largest, x[k]);
  }
  if (largest == kLowest) return;  // -inf - -inf is no number
  float total = *sum * expf(*most - largest);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (k < left) total += expf(x[k] - largest);
  }
  *most = largest;
  *sum = total;
}

template <typename T, int N>
__global__ void SoftmaxChunkKernel(SoftmaxChunkCall call, int threads_per_row) {
  __shared__ float shared[kWarp];
  const int rows_per_block = blockDim.x / threads_per_row, thread = threadIdx.x % threads_per_row;
  // Whole groups of threads stay in the loop together, so every barrier in it is met by all.
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows_per_block; first < call.rows;
       first += static_cast<int64_t>(gridDim.x) * rows_per_block) {
    const int64_t row = first + threadIdx.x / threads_per_row;
    if (row >= call.rows) continue;  // only where a group is a warp, which has no block barrier
    T* scores = static_cast<T*>(call.scores) + row * call.ld;
    const int64_t label = call.labels[row];
    const bool ignored = label == call.ignore, known = label >= 0 && label < call.classes;
    const float score = known ? ToFloat(scores[label]) : 0.0f;  // before it is overwritten
    float most = kLowest, sum = 0;
    for (int64_t j = static_cast<int64_t>(thread) * N; j < call.classes;
         j += static_cast<int64_t>(threads_per_row) * N) {
      float x[N];
      LoadUpTo(scores + j, call.classes - j, x);
      AddScores(x, call.classes - j, &most, &sum);
    }
    const float largest = RowReduce(most, MaxOf(), threads_per_row, shared);
    sum = RowReduce(most == kLowest ? 0.0f : sum * expf(most - largest), SumOf(), threads_per_row, shared);
    if (thread == 0) {
      const double loss = log(static_cast<double>(sum)) + largest - score;
      call.losses[row] = ignored ? 0.0 : known ? loss : __builtin_nan("");
    }
    if (!call.gradient) continue;
    const float scale = ignored ? 0.0f : 1.0f / sum;
    for (int64_t j = static_cast<int64_t>(thread) * N; j < call.classes;
         j += static_cast<int64_t>(threads_per_row) * N) {
      float x[N];
      LoadUpTo(scores + j, call.classes - j, x);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        x[k] = ignored ? 0.0f : expf(x[k] - largest) * scale - (j + k == label ? 1.0f : 0.0f);
      }
      StoreUpTo(x, call.classes - j, scores + j);
    }
  }
}

__global__ void SumLossesKernel(SumLossesCall call) {
  __shared__ double shared[kWarp];
  double loss = 0, count = 0;
  for (int64_t row = threadIdx.x; row < call.rows; row += blockDim.x) {
    loss += call.losses[row];
    count += call.labels[row] == call.ignore ? 0 : 1;
  }
  loss = BlockReduce(loss, SumOf(), shared);
  count = BlockReduce(count, SumOf(), shared);
  if (threadIdx.x != 0) return;
  *call.loss = loss;
  if (call.count != nullptr) *call.count = count;
}

}  // namespace

Code LaunchSoftmaxChunk(const SoftmaxChunkCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const int n = VectorElements(sizeof(T), {Address(call.scores), call.ld * sizeof(T)});
    const RowLaunch at = ForRows(call.rows, call.classes, n);
    return LaunchKernel(n == 1 ? SoftmaxChunkKernel<T, 1> : SoftmaxChunkKernel<T, kPerAccess<T>>, at.launch, stream,
                        call, at.threads_per_row);
  });
}

Code LaunchSumLosses(const SumLossesCall& call, StreamHandle stream) {
  Launch at;
  at.blocks = 1;
  at.threads = kMostThreads;
  return LaunchKernel(SumLossesKernel, at, stream, call);
}

}  // namespace millrace::cuda
