// Bound by memory: dy and x are read once, dx is written, 12 bytes per element in f32, 6 in bf16 and f16. A block walks
// a chunk of rows and adds dScale and dBias up on the way, each thread those of its own columns, in shared memory (or,
// for very long rows, in the partial sums themselves, which then stay in the level-2 cache). No atomics: the chunks'
// sums are added in order by a second kernel, which moves at most 1 byte more per element.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/normalization_grad.h"
#include "kernels/cuda/row_elements.cuh"

namespace millrace::cuda {
namespace {

// Every GPU since compute capability 8.0 has this much for a block.
constexpr int64_t kMostSharedSums = 96 << 10;

// What does not fit is gathered in global memory, which needs one group per block.
struct SumsPlan {
  bool wanted;
  int64_t rows_per_chunk;
  int64_t slots;     // of a group's sums of dScale in shared memory; as many of dBias follow
  int shared_bytes;  // 0: the sums stand in global memory, one per column
};

// One thread's view of its group's sums. Nobody else touches the sums of its columns, so nobody waits for anybody.
struct Sums {
  float* d_scale;  // null: none are wanted
  float* d_bias;
  bool striped;  // in shared memory

  // Of element k of the access that begins at column j: as many accesses of N neighbours as there are threads lie
  // transposed, so that the threads of a warp meet 32 banks.
  template <int N>
  __device__ __forceinline__ int64_t slot(const RowThread& part, int64_t j, int k) const {
    return striped ? j - part.thread * N + k * part.threads + part.thread : j + k;
  }
};

// Where column c is.
template <int N>
__device__ __forceinline__ int64_t StripedSlot(int64_t c, int threads) {
  const int64_t within = c % (threads * N);
  return c - within + within % N * threads + within / N;
}

// Writes a row's dx and adds what the row contributes to the thread's own columns of the sums. N divides the columns.
template <bool centred, typename T, int N, bool kept>
__device__ __forceinline__ void GradientOfRow(const NormalizationGradCall& call, int64_t row, const RowThread& part,
                                              const Sums& sums, float* shared) {
  const int64_t columns = call.columns;
  const RowElements<T, N, kept> dys(static_cast<const T*>(call.dy) + row * columns, part);
  const RowElements<T, N, kept> xs(static_cast<const T*>(call.x) + row * columns, part);
  const T* scale = static_cast<const T*>(call.scale);
  const float mean = centred ? call.mean[row] : 0.0f, inverse = call.inverse[row];
  float sum_g = 0, sum_gx = 0;
  dys.ForEachWith(xs, [&](const float(&dy)[N], const float(&x)[N], int64_t j) {
    float by[N];
    LoadUpTo(scale + j, columns - j, by);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float xhat = (x[k] - mean) * inverse, g = dy[k] * by[k];
      sum_g += g;
      sum_gx += g * xhat;
      if (sums.d_scale == nullptr) continue;
      const int64_t slot = sums.slot<N>(part, j, k);
      sums.d_scale[slot] += dy[k] * xhat;
      if (centred) sums.d_bias[slot] += dy[k];
    }
  });
  const float average_g = centred ? RowReduce(sum_g, SumOf(), part.threads, shared) / columns : 0.0f;
  const float average_gx = RowReduce(sum_gx, SumOf(), part.threads, shared) / columns;
  T* dx = static_cast<T*>(call.dx) + row * columns;
  dys.ForEachWith(xs, [&](const float(&dy)[N], const float(&x)[N], int64_t j) {
    float by[N], result[N];
    LoadUpTo(scale + j, columns - j, by);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float xhat = (x[k] - mean) * inverse;
      result[k] = inverse * (dy[k] * by[k] - average_g - xhat * average_gx);
    }
    StoreUpTo(result, columns - j, dx + j);
  });
}

__device__ __forceinline__ Sums SumsOf(const SumsPlan& plan, float* memory, int group, float* partial,
                                       int64_t columns) {
  if (!plan.wanted) return {};
  if (plan.shared_bytes == 0) return {partial, partial + columns, false};
  float* const own = memory + group * 2 * plan.slots;
  return {own, own + plan.slots, true};
}

template <bool centred, typename T, int N, bool kept>
__global__ void __launch_bounds__(kRowThreads)
    NormalizationGradKernel(NormalizationGradCall call, int threads_per_row, SumsPlan plan) {
  __shared__ float shared[kWarp];
  MR_DYNAMIC_SHARED(memory);
  float* const all_sums = reinterpret_cast<float*>(memory);
  const int groups = blockDim.x / threads_per_row, group = threadIdx.x / threads_per_row;
  const RowThread part = {call.columns, static_cast<int>(threadIdx.x) % threads_per_row, threads_per_row};
  const int64_t chunks = CeilDiv(call.rows, plan.rows_per_chunk);
  for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    float* const partial = plan.wanted ? call.partial + chunk * 2 * call.columns : nullptr;
    const Sums sums = SumsOf(plan, all_sums, group, partial, call.columns);
    for (int64_t j = part.column<N>(0); plan.wanted && j < call.columns; j += static_cast<int64_t>(part.threads) * N) {
      for (int k = 0; k < N; ++k) {
        const int64_t slot = sums.slot<N>(part, j, k);
        sums.d_scale[slot] = sums.d_bias[slot] = 0;
      }
    }
    const int64_t begin = chunk * plan.rows_per_chunk;
    const int64_t end = call.rows - begin < plan.rows_per_chunk ? call.rows : begin + plan.rows_per_chunk;
    for (int64_t row = begin + group; row < end; row += groups) {
      GradientOfRow<centred, T, N, kept>(call, row, part, sums, shared);
    }
    if (plan.shared_bytes == 0) continue;
    __syncthreads();
    for (int64_t c = threadIdx.x; c < call.columns; c += blockDim.x) {
      const int64_t slot = StripedSlot<N>(c, threads_per_row);
      float d_scale = 0, d_bias = 0;
      for (int g = 0; g < groups; ++g) {
        d_scale += all_sums[g * 2 * plan.slots + slot];
        d_bias += all_sums[(g * 2 + 1) * plan.slots + slot];
      }
      partial[c] = d_scale;
      partial[call.columns + c] = d_bias;
    }
    __syncthreads();  // before the next chunk clears them
  }
}

// Of 32 columns; warp w adds chunks w, w + 8, ...
constexpr int kChunkLanes = 8;

__global__ void AddChunksKernel(const float* partial, int64_t chunks, int64_t columns, float* d_scale, float* d_bias) {
  __shared__ float shared[kChunkLanes][kWarp];
  const int lane = threadIdx.x % kWarp, first = threadIdx.x / kWarp;
  const int64_t row = 2 * columns, groups = CeilDiv(row, kWarp);
  for (int64_t group = blockIdx.x; group < groups; group += gridDim.x) {
    const int64_t c = group * kWarp + lane;
    float sum = 0;
    if (c < row) {
      for (int64_t chunk = first; chunk < chunks; chunk += kChunkLanes) sum += partial[chunk * row + c];
    }
    shared[first][lane] = sum;
    __syncthreads();
    if (first == 0 && c < row) {
      sum = 0;
      for (int i = 0; i < kChunkLanes; ++i) sum += shared[i][lane];
      float* const to = c < columns ? d_scale : d_bias;
      if (to != nullptr) to[c < columns ? c : c - columns] += sum;
    }
    __syncthreads();
  }
}

SumsPlan PlanOf(const NormalizationGradCall& call, const RowLaunch& shape, int per_access) {
  const int groups = shape.rows_per_block();
  SumsPlan plan = {.wanted = call.d_scale != nullptr || call.d_bias != nullptr,
                   .rows_per_chunk = groups,
                   .slots = RoundUp(call.columns, int64_t{shape.threads_per_row} * per_access),
                   .shared_bytes = 0};
  if (!plan.wanted) return plan;
  plan.rows_per_chunk = RowsPerChunk(call.rows);
  const int64_t bytes = static_cast<int64_t>(sizeof(float)) * groups * 2 * plan.slots;
  if (bytes <= kMostSharedSums) plan.shared_bytes = static_cast<int>(bytes);
  return plan;
}

}  // namespace

Code LaunchNormalizationGrad(const NormalizationGradCall& call, StreamHandle stream) {
  if (call.rows == 0 || call.columns == 0) return kSuccess;
  const auto launch = [&]<typename T, int N, bool kept>(const RowLaunch& shape) {
    const SumsPlan plan = PlanOf(call, shape, N);
    Launch at = shape.launch;
    at.blocks = std::min(CeilDiv(call.rows, plan.rows_per_chunk), kMostStridingBlocks);
    at.shared_bytes = plan.shared_bytes;
    return LaunchKernel(
        call.centred ? NormalizationGradKernel<true, T, N, kept> : NormalizationGradKernel<false, T, N, kept>, at,
        stream, call, shape.threads_per_row, plan);
  };
  const Code code = LaunchRows(call.type, call.rows, call.columns,
                               {Address(call.dy), Address(call.x), Address(call.dx), Address(call.scale)}, launch);
  if (code != kSuccess || (call.d_scale == nullptr && call.d_bias == nullptr)) return code;
  Launch at;
  at.threads = kWarp * kChunkLanes;
  at.blocks = std::min(CeilDiv(2 * call.columns, kWarp), kMostStridingBlocks);
  return LaunchKernel(AddChunksKernel, at, stream, static_cast<const float*>(call.partial),
                      CeilDiv(call.rows, RowsPerChunk(call.rows)), call.columns, call.d_scale, call.d_bias);
}

}  // namespace millrace::cuda
