// Bound by shared memory and float32 arithmetic, at about a quarter of the float32 rate: this is for float32 and for
// shapes that cuDNN refuses. 4 T S D operations per head, half of it under a causal mask.
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"

namespace millrace::cuda {
namespace {

// kParts * 32 >= width.
template <typename T, int kParts>
__global__ void __launch_bounds__(kAttentionThreads) AttentionKernel(AttentionForwardCall call, int64_t tiles) {
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  const int tile_floats = kAttentionTile * (s.width | 1), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  float* const q = reinterpret_cast<float*>(memory);
  float* const k = q + tile_floats;
  float* const v = k + tile_floats;
  float* const weights = v + tile_floats + warp * kRowsPerWarp * kAttentionTile;
  const int64_t tasks = tiles * s.batch * s.q_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const AttentionTask task = TaskAt(number, s.q_heads, s.batch, tiles);
    const int64_t kv_head = task.head / (s.q_heads / s.kv_heads);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + kv_head * s.width;
    const int64_t last = s.causal ? min(task.first_row + kAttentionTile, s.keys) : s.keys;
    __syncthreads();  // the last task's readers are done
    LoadTile(static_cast<const T*>(call.q) + task.batch * s.queries * s.q_row + task.head * s.width, s.q_row,
             task.first_row, s.queries, s.width, q);
    float most[kRowsPerWarp], total[kRowsPerWarp] = {}, sums[kRowsPerWarp][kParts] = {};
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) most[r] = MaxOf::kNeutral;
    for (int64_t first_key = 0; first_key < last; first_key += kAttentionTile) {
      __syncthreads();
      LoadTile(static_cast<const T*>(call.k) + kv_begin, s.kv_row, first_key, s.keys, s.width, k);
      LoadTile(static_cast<const T*>(call.v) + kv_begin, s.kv_row, first_key, s.keys, s.width, v);
      __syncthreads();
      float scores[kRowsPerWarp];
      Dots(q, k, s.width, scores);
      const int64_t key = first_key + lane;
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) {
        const int64_t query = task.first_row + warp * kRowsPerWarp + r;
        const bool visible = key < s.keys && (!s.causal || key <= query);
        const float score = visible ? scores[r] * s.scale : MaxOf::kNeutral;
        // Key 0 is visible to every query, so from the first tile on the maximum is a number.
        const float largest = max(most[r], WarpReduce(score, MaxOf()));
        const float weight = visible ? expf(score - largest) : 0.0f;
        const float shrink = expf(most[r] - largest);
        total[r] = total[r] * shrink + WarpReduce(weight, SumOf());
        most[r] = largest;
        weights[r * kAttentionTile + lane] = weight;
#pragma unroll
        for (int i = 0; i < kParts; ++i) sums[r][i] *= shrink;
      }
      __syncwarp();
      AddWeighted(weights, v, s.width, sums);
      __syncwarp();  // before the weights of the next tile
    }
    float factor[kRowsPerWarp];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      factor[r] = total[r] > 0 ? 1.0f / total[r] : 0.0f;  // without keys: 0
      if (total[r] != total[r]) factor[r] = total[r];     // NaN stays
      const int64_t query = task.first_row + warp * kRowsPerWarp + r;
      if (call.lse != nullptr && lane == 0 && query < s.queries) {
        call.lse[(task.batch * s.q_heads + task.head) * s.queries + query] = most[r] + logf(total[r]);
      }
    }
    StoreRows(sums, factor, task.first_row, s.queries, s.width, s.y_row(),
              static_cast<T*>(call.y) + task.batch * s.queries * s.y_row() + task.head * s.width);
  }
}

}  // namespace

Code LaunchAttention(const AttentionForwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  const int64_t tiles = CeilDiv(s.queries, kAttentionTile);
  Launch at;
  at.threads = kAttentionThreads;
  at.blocks = std::min(tiles * s.batch * s.q_heads, kMostStridingBlocks);
  at.shared_bytes = AttentionSharedBytes(3, s.width, 1);
  return ForFloatType(s.type, [&]<typename T>(TypeTag<T>) {
    return LaunchKernel(s.width <= 2 * kWarp ? AttentionKernel<T, 2> : AttentionKernel<T, 8>, at, stream, call, tiles);
  });
}

}  // namespace millrace::cuda
