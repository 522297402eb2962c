// The gradient of attention in 16-bit types on the tensor cores. No atomics: dK and dV by blocks that own keys, dQ by
// blocks that own queries, so scores and dP are computed twice: 14 T S D operations per head where 10 would do with
// additions into dQ in the order of arrival.
//
// With P = exp(scale Q K' - Lse): dV = P' dY; dS = P * (dY V' - delta); dQ = scale dS K; dK = scale dS' Q, where
// delta = rowsum(dY * Y) is computed before.
#include "kernels/cuda/attention_mma_tile.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"

namespace millrace::cuda {
namespace {

constexpr float kLog2E = 1.44269504088896341f;
// Columns of a tile: fewer for wide heads, whose sums fill the registers.
template <int kWidth>
inline constexpr int kColumns = kWidth <= 64 ? 64 : 32;

// dQ: rows are queries, columns are keys.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kMmaThreads) MmaQueryGradKernel(AttentionBackwardCall call, int64_t tiles) {
  constexpr int kKeys = kColumns<kWidth>;
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  T* const q = reinterpret_cast<T*>(memory);
  T* const dy = q + kMmaRows * kMmaStride<kWidth>;
  T* const k = dy + kMmaRows * kMmaStride<kWidth>;
  T* const v = k + kKeys * kMmaStride<kWidth>;
  const float factor = s.scale * kLog2E;
  const int64_t tasks = tiles * s.batch * s.q_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const MmaTask task = MmaTaskAt(number, s.q_heads, s.batch, tiles);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + task.head / (s.q_heads / s.kv_heads) * s.width;
    const int64_t q_begin = task.batch * s.queries * s.q_row + task.head * s.width;
    const int64_t y_begin = task.batch * s.queries * s.y_row() + task.head * s.width;
    const int64_t lse_begin = (task.batch * s.q_heads + task.head) * s.queries;
    const int64_t last = s.causal ? min(task.first_row + kMmaRows, s.keys) : s.keys;
    __syncthreads();
    LoadMmaTile<T, kWidth, kMmaRows>(static_cast<const T*>(call.q) + q_begin, s.q_row, task.first_row, s.queries,
                                     s.width, q);
    LoadMmaTile<T, kWidth, kMmaRows>(static_cast<const T*>(call.dy) + y_begin, s.y_row(), task.first_row, s.queries,
                                     s.width, dy);
    float lse[2], delta[2], sums[kWidth / 8][4] = {};
    for (int i = 0; i < 2; ++i) {
      const int64_t query = task.first_row + MmaRow(i);
      lse[i] = query < s.queries ? call.lse[lse_begin + query] * kLog2E : 0.0f;
      delta[i] = query < s.queries ? call.delta[lse_begin + query] : 0.0f;
    }
    for (int64_t first_key = 0; first_key < last; first_key += kKeys) {
      __syncthreads();
      LoadMmaTile<T, kWidth, kKeys>(static_cast<const T*>(call.k) + kv_begin, s.kv_row, first_key, s.keys, s.width, k);
      LoadMmaTile<T, kWidth, kKeys>(static_cast<const T*>(call.v) + kv_begin, s.kv_row, first_key, s.keys, s.width, v);
      __syncthreads();
      float scores[kKeys / 8][4] = {}, dp[kKeys / 8][4] = {};
      MultiplyTransposed<T, kWidth, kKeys>(q, k, scores);
      MultiplyTransposed<T, kWidth, kKeys>(dy, v, dp);
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int64_t query = task.first_row + MmaRow(j / 2), key = first_key + MmaColumn(n, j % 2);
          const bool visible = query < s.queries && key < s.keys && (!s.causal || key <= query);
          const float p = visible ? exp2f(scores[n][j] * factor - lse[j / 2]) : 0.0f;
          dp[n][j] = visible ? p * (dp[n][j] - delta[j / 2]) : 0.0f;
        }
      }
      MultiplyWeights<T, kWidth, kKeys>(dp, k, sums);
    }
    StoreMmaRows<T, kWidth>(sums, s.scale, s.scale, task.first_row, s.queries, s.width, s.q_row,
                            static_cast<T*>(call.dq) + q_begin);
  }
}

// dK, dV: rows are keys, columns are queries, of all query heads that read this key head, one head after the other.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kMmaThreads) MmaKeyGradKernel(AttentionBackwardCall call, int64_t tiles) {
  constexpr int kQueries = kColumns<kWidth>;
  MR_DYNAMIC_SHARED(memory);
  const AttentionShape& s = call.shape;
  T* const k = reinterpret_cast<T*>(memory);
  T* const v = k + kMmaRows * kMmaStride<kWidth>;
  T* const q = v + kMmaRows * kMmaStride<kWidth>;
  T* const dy = q + kQueries * kMmaStride<kWidth>;
  float* const lse = reinterpret_cast<float*>(dy + kQueries * kMmaStride<kWidth>);
  float* const delta = lse + kQueries;
  const float factor = s.scale * kLog2E;
  const int64_t group = s.q_heads / s.kv_heads, tasks = tiles * s.batch * s.kv_heads;
  for (int64_t number = blockIdx.x; number < tasks; number += gridDim.x) {
    const MmaTask task = MmaTaskAt(number, s.kv_heads, s.batch, tiles);
    const int64_t kv_begin = task.batch * s.keys * s.kv_row + task.head * s.width;
    __syncthreads();
    LoadMmaTile<T, kWidth, kMmaRows>(static_cast<const T*>(call.k) + kv_begin, s.kv_row, task.first_row, s.keys,
                                     s.width, k);
    LoadMmaTile<T, kWidth, kMmaRows>(static_cast<const T*>(call.v) + kv_begin, s.kv_row, task.first_row, s.keys,
                                     s.width, v);
    float dk[kWidth / 8][4] = {}, dv[kWidth / 8][4] = {};
    // Queries before the first key of this tile see none of it; first_row is a multiple of kQueries.
    const int64_t first_seeing = s.causal ? task.first_row : 0;
    for (int64_t head = task.head * group; head < (task.head + 1) * group; ++head) {
      const int64_t q_begin = task.batch * s.queries * s.q_row + head * s.width;
      const int64_t y_begin = task.batch * s.queries * s.y_row() + head * s.width;
      const int64_t lse_begin = (task.batch * s.q_heads + head) * s.queries;
      for (int64_t first_query = first_seeing; first_query < s.queries; first_query += kQueries) {
        __syncthreads();
        LoadMmaTile<T, kWidth, kQueries>(static_cast<const T*>(call.q) + q_begin, s.q_row, first_query, s.queries,
                                         s.width, q);
        LoadMmaTile<T, kWidth, kQueries>(static_cast<const T*>(call.dy) + y_begin, s.y_row(), first_query, s.queries,
                                         s.width, dy);
        if (threadIdx.x < kQueries) {
          const int64_t query = first_query + threadIdx.x;
          lse[threadIdx.x] = query < s.queries ? call.lse[lse_begin + query] * kLog2E : 0.0f;
          delta[threadIdx.x] = query < s.queries ? call.delta[lse_begin + query] : 0.0f;
        }
        __syncthreads();
        float scores[kQueries / 8][4] = {}, dp[kQueries / 8][4] = {};
        MultiplyTransposed<T, kWidth, kQueries>(k, q, scores);
        MultiplyTransposed<T, kWidth, kQueries>(v, dy, dp);
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const int column = MmaColumn(n, j % 2);
            const int64_t key = task.first_row + MmaRow(j / 2), query = first_query + column;
            const bool visible = query < s.queries && key < s.keys && (!s.causal || key <= query);
            const float p = visible ? exp2f(scores[n][j] * factor - lse[column]) : 0.0f;
            scores[n][j] = p;
            dp[n][j] = visible ? p * (dp[n][j] - delta[column]) : 0.0f;
          }
        }
        MultiplyWeights<T, kWidth, kQueries>(scores, dy, dv);
        MultiplyWeights<T, kWidth, kQueries>(dp, q, dk);
      }
    }
    StoreMmaRows<T, kWidth>(dv, 1.0f, 1.0f, task.first_row, s.keys, s.width, s.kv_row,
                            static_cast<T*>(call.dv) + kv_begin);
    StoreMmaRows<T, kWidth>(dk, s.scale, s.scale, task.first_row, s.keys, s.width, s.kv_row,
                            static_cast<T*>(call.dk) + kv_begin);
  }
}

template <typename T, int kWidth>
Code LaunchWidth(const AttentionBackwardCall& call, StreamHandle stream) {
  const AttentionShape& s = call.shape;
  const int64_t query_tiles = CeilDiv(s.queries, kMmaRows), key_tiles = CeilDiv(s.keys, kMmaRows);
  Launch at;
  at.threads = kMmaThreads;
  at.shared_bytes = MmaTileBytes<T, kWidth>(2 * kMmaRows + 2 * kColumns<kWidth>) +
                    2 * kColumns<kWidth> * static_cast<int>(sizeof(float));
  at.blocks = std::min(key_tiles * s.batch * s.kv_heads, kMostStridingBlocks);
  const Code code = LaunchKernel(MmaKeyGradKernel<T, kWidth>, at, stream, call, key_tiles);
  if (code != kSuccess) return code;
  at.blocks = std::min(query_tiles * s.batch * s.q_heads, kMostStridingBlocks);
  return LaunchKernel(MmaQueryGradKernel<T, kWidth>, at, stream, call, query_tiles);
}

}  // namespace

Code LaunchMmaAttentionGrad(const AttentionBackwardCall& call, StreamHandle stream) {
  const Code code = LaunchAttentionDelta(call, stream);
  if (code != kSuccess) return code;
  return For16BitType(call.shape.type, [&]<typename T>(TypeTag<T>) {
    return call.shape.width <= 64 ? LaunchWidth<T, 64>(call, stream) : LaunchWidth<T, 128>(call, stream);
  });
}

}  // namespace millrace::cuda
