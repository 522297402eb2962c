// Three kernels, no atomics: delta = rowsum(dY * Y); dK and dV by blocks that own keys; dQ by blocks that own queries.
// Scores and dP are computed twice, which costs less than ordered additions into dQ would. Bound as the forward pass
// is; 14 T S D operations per head.
//
// With P = exp(scale Q K' - Lse): dV = P' dY; dS = P * (dY V' - delta); dQ = scale dS K; dK = scale dS' Q.
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"

namespace millrace::cuda {
namespace {

// One warp per (sample, head, query).
template <typename T>
__global__ void DeltaKernel(const T* dy, const T* y, float* delta, int64_t batch, int64_t queries, int64_t heads,
                            int width) {
  const int64_t rows = batch * queries * heads, warps = blockDim.x / kWarp;
  for (int64_t row = blockIdx.x * warps + threadIdx.x / kWarp; row < rows; row += gridDim.x * warps) {
    float sum = 0;
    for (int d = threadIdx.x % kWarp; d < width; d += kWarp) {
      sum += ToFloat(dy[row * width + d]) * ToFloat(y[row * width + d]);
    }
    sum = WarpReduce(sum, SumOf());
    // Rows are in the order (sample, query, head), delta in that of lse.
    const int64_t head = row % heads, query = row / heads % queries, sample = row / heads / queries;
    if (threadIdx.x % kWarp == 0) delta[(sample * heads + head) * queries + query] = sum;
  }
}

// dQ: rows are queries, columns are keys.
template <typename T, int kParts>
__global__ void __launch_bounds__(kAttentionThreads) QueryGradKernel(AttentionBackwardCall call, int64_t tiles) {
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  const int tile_floats = kAttentionTile * (s.width | 1), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  float* const q = reinterpret_cast<float*>(memory);
  float* const dy = q + tile_floats;
  float* const k = dy + tile_floats;
  float* const v = k + tile_floats;
  float* const weights = v + tile_floats + warp * kRowsPerWarp * kAttentionTile;
  const int64_t tasks = tiles * s.batch * s.q_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const AttentionTask task = TaskAt(number, s.q_heads, s.batch, tiles);
    const int64_t kv_head = task.head / (s.q_heads / s.kv_heads);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + kv_head * s.width;
    const int64_t q_begin = task.batch * s.queries * s.q_row + task.head * s.width;
    const int64_t y_begin = task.batch * s.queries * s.y_row() + task.head * s.width;
    const int64_t lse_begin = (task.batch * s.q_heads + task.head) * s.queries;
    const int64_t last = s.causal ? min(task.first_row + kAttentionTile, s.keys) : s.keys;
    __syncthreads();
    LoadTile(static_cast<const T*>(call.q) + q_begin, s.q_row, task.first_row, s.queries, s.width, q);
    LoadTile(static_cast<const T*>(call.dy) + y_begin, s.y_row(), task.first_row, s.queries, s.width, dy);
    float lse[kRowsPerWarp], delta[kRowsPerWarp], factor[kRowsPerWarp], sums[kRowsPerWarp][kParts] = {};
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const int64_t query = task.first_row + warp * kRowsPerWarp + r;
      lse[r] = query < s.queries ? call.lse[lse_begin + query] : 0.0f;
      delta[r] = query < s.queries ? call.delta[lse_begin + query] : 0.0f;
      factor[r] = s.scale;
    }
    for (int64_t first_key = 0; first_key < last; first_key += kAttentionTile) {
      __syncthreads();
      LoadTile(static_cast<const T*>(call.k) + kv_begin, s.kv_row, first_key, s.keys, s.width, k);
      LoadTile(static_cast<const T*>(call.v) + kv_begin, s.kv_row, first_key, s.keys, s.width, v);
      __syncthreads();
      float scores[kRowsPerWarp], dp[kRowsPerWarp];
      Dots(q, k, s.width, scores);
      Dots(dy, v, s.width, dp);
      const int64_t key = first_key + lane;
#pragma unroll
      for (int r = 0; r < kRowsPerWarp; ++r) {
        const int64_t query = task.first_row + warp * kRowsPerWarp + r;
        const bool visible = query < s.queries && key < s.keys && (!s.causal || key <= query);
        const float p = visible ? expf(scores[r] * s.scale - lse[r]) : 0.0f;
        weights[r * kAttentionTile + lane] = visible ? p * (dp[r] - delta[r]) : 0.0f;
      }
      __syncwarp();
      AddWeighted(weights, k, s.width, sums);
      __syncwarp();
    }
    StoreRows(sums, factor, task.first_row, s.queries, s.width, s.q_row, static_cast<T*>(call.dq) + q_begin);
  }
}

// dK, dV: rows are keys, columns are queries, of all query heads that read this key head, one head after the other.
template <typename T, int kParts>
__global__ void __launch_bounds__(kAttentionThreads) KeyGradKernel(AttentionBackwardCall call, int64_t tiles) {
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  const int tile_floats = kAttentionTile * (s.width | 1), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  float* const k = reinterpret_cast<float*>(memory);
  float* const v = k + tile_floats;
  float* const q = v + tile_floats;
  float* const dy = q + tile_floats;
  float* const p_weights = dy + tile_floats + warp * kRowsPerWarp * kAttentionTile;
  float* const ds_weights = p_weights + kAttentionTile * kAttentionTile;
  const int64_t group = s.q_heads / s.kv_heads, tasks = tiles * s.batch * s.kv_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const AttentionTask task = TaskAt(number, s.kv_heads, s.batch, tiles);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + task.head * s.width;
    __syncthreads();
    LoadTile(static_cast<const T*>(call.k) + kv_begin, s.kv_row, task.first_row, s.keys, s.width, k);
    LoadTile(static_cast<const T*>(call.v) + kv_begin, s.kv_row, task.first_row, s.keys, s.width, v);
    float dk[kRowsPerWarp][kParts] = {}, dv[kRowsPerWarp][kParts] = {};
    // Queries before the first key of this tile see none of it.
    const int64_t first_seeing = s.causal ? task.first_row / kAttentionTile * kAttentionTile : 0;
    for (int64_t head = task.head * group; head < (task.head + 1) * group; ++head) {
      const int64_t q_begin = task.batch * s.queries * s.q_row + head * s.width;
      const int64_t y_begin = task.batch * s.queries * s.y_row() + head * s.width;
      const int64_t lse_begin = (task.batch * s.q_heads + head) * s.queries;
      for (int64_t first_query = first_seeing; first_query < s.queries; first_query += kAttentionTile) {
        __syncthreads();
        LoadTile(static_cast<const T*>(call.q) + q_begin, s.q_row, first_query, s.queries, s.width, q);
        LoadTile(static_cast<const T*>(call.dy) + y_begin, s.y_row(), first_query, s.queries, s.width, dy);
        __syncthreads();
        float scores[kRowsPerWarp], dp[kRowsPerWarp];
        Dots(k, q, s.width, scores);
        Dots(v, dy, s.width, dp);
        const int64_t query = first_query + lane;
        const bool inside = query < s.queries;
        const float lse = inside ? call.lse[lse_begin + query] : 0.0f;
        const float delta = inside ? call.delta[lse_begin + query] : 0.0f;
#pragma unroll
        for (int r = 0; r < kRowsPerWarp; ++r) {
          const int64_t key = task.first_row + warp * kRowsPerWarp + r;
          const bool visible = inside && key < s.keys && (!s.causal || key <= query);
          const float p = visible ? expf(scores[r] * s.scale - lse) : 0.0f;
          p_weights[r * kAttentionTile + lane] = p;
          ds_weights[r * kAttentionTile + lane] = visible ? p * (dp[r] - delta) : 0.0f;
        }
        __syncwarp();
        AddWeighted(p_weights, dy, s.width, dv);
        AddWeighted(ds_weights, q, s.width, dk);
        __syncwarp();
      }
    }
    const float one[kRowsPerWarp] = {1, 1, 1, 1}, scale[kRowsPerWarp] = {s.scale, s.scale, s.scale, s.scale};
    StoreRows(dv, one, task.first_row, s.keys, s.width, s.kv_row, static_cast<T*>(call.dv) + kv_begin);
    StoreRows(dk, scale, task.first_row, s.keys, s.width, s.kv_row, static_cast<T*>(call.dk) + kv_begin);
  }
}

template <typename T, int kParts>
Code LaunchGrads(const AttentionBackwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  const int64_t query_tiles = CeilDiv(s.queries, kAttentionTile), key_tiles = CeilDiv(s.keys, kAttentionTile);
  Launch at;
  at.threads = kAttentionThreads;
  at.shared_bytes = AttentionSharedBytes(4, s.width, 2);
  at.blocks = std::min(key_tiles * s.batch * s.kv_heads, kMostStridingBlocks);
  const Code code = LaunchKernel(KeyGradKernel<T, kParts>, at, stream, call, key_tiles);
  if (code != kSuccess) return code;
  at.shared_bytes = AttentionSharedBytes(4, s.width, 1);
  at.blocks = std::min(query_tiles * s.batch * s.q_heads, kMostStridingBlocks);
  return LaunchKernel(QueryGradKernel<T, kParts>, at, stream, call, query_tiles);
}

}  // namespace

Code LaunchAttentionDelta(const AttentionBackwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  Launch rows;
  rows.threads = kThreads;
  rows.blocks = std::min(CeilDiv(s.batch * s.queries * s.q_heads, kThreads / kWarp), kMostStridingBlocks);
  return ForFloatType(s.type, [&]<typename T>(TypeTag<T>) {
    return LaunchKernel(DeltaKernel<T>, rows, stream, static_cast<const T*>(call.dy), static_cast<const T*>(call.y),
                        call.delta, s.batch, s.queries, s.q_heads, s.width);
  });
}

Code LaunchAttentionGrad(const AttentionBackwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  const Code code = LaunchAttentionDelta(call, stream);
  if (code != kSuccess) return code;
  return ForFloatType(s.type, [&]<typename T>(TypeTag<T>) {
    return s.width <= 2 * kWarp ? LaunchGrads<T, 2>(call, stream) : LaunchGrads<T, 8>(call, stream);
  });
}

}  // namespace millrace::cuda
