// Attention in 16-bit types on the tensor cores, with mma.sync: 4 T S D operations per head, half of it under a causal
// mask. What bounds it is the issue rate of mma.sync with the exponentials between; wgmma on Hopper would go higher.
#include "kernels/cuda/attention_mma_tile.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"

namespace millrace::cuda {
namespace {

constexpr int kKeys = 64;  // of a tile
constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.69314718055994531f;
constexpr float kNothing = -__builtin_huge_valf();

// Over the four lanes that share a row.
__device__ __forceinline__ float QuadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float QuadSum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

// Scores of a tile become weights exp2(score - maximum); the running maximum, total and sums follow.
template <int kWidth>
__device__ __forceinline__ void Soften(const AttentionShape& s, float factor, int64_t first_row, int64_t first_key,
                                       float (&scores)[kKeys / 8][4], float (&most)[2], float (&total)[2],
                                       float (&sums)[kWidth / 8][4]) {
  const bool whole = first_key + kKeys <= s.keys && (!s.causal || first_key + kKeys - 1 <= first_row);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t query = first_row + MmaRow(i);
    float largest = most[i];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int64_t key = first_key + MmaColumn(n, j);
        float& score = scores[n][2 * i + j];
        const bool visible = whole || (key < s.keys && (!s.causal || key <= query));
        score = visible ? score * factor : kNothing;
        largest = fmaxf(largest, score);
      }
    }
    // Key 0 is visible to every query, so from the first tile on the maximum is a number.
    largest = QuadMax(largest);
    const float shrink = exp2f(most[i] - largest);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& weight = scores[n][2 * i + j];
        weight = exp2f(weight - largest);
        sum += weight;
      }
    }
    total[i] = total[i] * shrink + sum;  // of this lane; the quad's at the end
    most[i] = largest;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      sums[n][2 * i] *= shrink;
      sums[n][2 * i + 1] *= shrink;
    }
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kMmaThreads) MmaAttentionKernel(AttentionForwardCall call, int64_t tiles) {
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  T* const q = reinterpret_cast<T*>(memory);
  T* const k = q + kMmaRows * kMmaStride<kWidth>;
  T* const v = k + kKeys * kMmaStride<kWidth>;
  const float factor = s.scale * kLog2E;
  const int64_t tasks = tiles * s.batch * s.q_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const MmaTask task = MmaTaskAt(number, s.q_heads, s.batch, tiles);
    const int64_t kv_head = task.head / (s.q_heads / s.kv_heads);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + kv_head * s.width;
    const int64_t last = s.causal ? min(task.first_row + kMmaRows, s.keys) : s.keys;
    __syncthreads();  // the last task's readers are done
    LoadMmaTile<T, kWidth, kMmaRows>(
        static_cast<const T*>(call.q) + task.batch * s.queries * s.q_row + task.head * s.width, s.q_row, task.first_row,
        s.queries, s.width, q);
    float most[2] = {kNothing, kNothing}, total[2] = {}, sums[kWidth / 8][4] = {};
    for (int64_t first_key = 0; first_key < last; first_key += kKeys) {
      __syncthreads();
      LoadMmaTile<T, kWidth, kKeys>(static_cast<const T*>(call.k) + kv_begin, s.kv_row, first_key, s.keys, s.width, k);
      LoadMmaTile<T, kWidth, kKeys>(static_cast<const T*>(call.v) + kv_begin, s.kv_row, first_key, s.keys, s.width, v);
      __syncthreads();
      float scores[kKeys / 8][4] = {};
      MultiplyTransposed<T, kWidth, kKeys>(q, k, scores);
      Soften<kWidth>(s, factor, task.first_row, first_key, scores, most, total, sums);
      MultiplyWeights<T, kWidth, kKeys>(scores, v, sums);
    }
    for (int i = 0; i < 2; ++i) {
      total[i] = QuadSum(total[i]);
      const int64_t query = task.first_row + MmaRow(i);
      if (call.lse != nullptr && threadIdx.x % 4 == 0 && query < s.queries) {
        call.lse[(task.batch * s.q_heads + task.head) * s.queries + query] = (most[i] + log2f(total[i])) * kLn2;
      }
    }
    const float first = total[0] > 0 ? 1.0f / total[0] : 0.0f, second = total[1] > 0 ? 1.0f / total[1] : 0.0f;
    StoreMmaRows<T, kWidth>(sums, first, second, task.first_row, s.queries, s.width, s.y_row(),  // without keys: 0
                            static_cast<T*>(call.y) + task.batch * s.queries * s.y_row() + task.head * s.width);
  }
}

template <typename T, int kWidth>
Code LaunchWidth(const AttentionForwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  const int64_t tiles = CeilDiv(s.queries, kMmaRows);
  Launch at;
  at.threads = kMmaThreads;
  at.blocks = std::min(tiles * s.batch * s.q_heads, kMostStridingBlocks);
  at.shared_bytes = MmaTileBytes<T, kWidth>(kMmaRows + 2 * kKeys);
  return LaunchKernel(MmaAttentionKernel<T, kWidth>, at, stream, call, tiles);
}

}  // namespace

Code LaunchMmaAttention(const AttentionForwardCall& call, StreamHandle stream) {
  return For16BitType(call.shape.type, [&]<typename T>(TypeTag<T>) {
    return call.shape.width <= 64 ? LaunchWidth<T, 64>(call, stream) : LaunchWidth<T, 128>(call, stream);
  });
}

}  // namespace millrace::cuda
