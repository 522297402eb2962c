// Bound by memory: every element of x is read once; outputs and partial sums are few. Sums are kept in double, where
// long ones lose nothing; one conversion and one addition per element stay below the memory's rate on data-centre GPUs.
//
// Where the innermost axis is summed over, a group of threads takes neighbouring terms of one output; where it is kept,
// neighbouring threads take neighbouring outputs. Both read 16 bytes per thread where rows allow. Long sums are cut
// into partial ones, which a second launch of the same kernels adds up.
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

__device__ __forceinline__ double ToDouble(double x) { return x; }
template <typename T>
__device__ __forceinline__ double ToDouble(T x) {
  return ToFloat(x);
}

template <int N, typename T>
__device__ __forceinline__ void AddElements(const T* from, double (&sums)[N]) {
  const Elements<T, N> all = *reinterpret_cast<const Elements<T, N>*>(from);
#pragma unroll
  for (int k = 0; k < N; ++k) sums[k] += ToDouble(all.at[k]);
}

// Where sums go: to y, or as they are to the partial sums.
struct Sink {
  void* y;
  Element type;
  double factor;
  bool accumulate;
};

template <typename T>
__device__ __forceinline__ void StoreAs(const Sink& sink, int64_t i, double sum) {
  T* y = static_cast<T*>(sink.y);
  if constexpr (sizeof(T) == sizeof(double)) {
    y[i] = sink.accumulate ? y[i] + sum : sum * sink.factor;
  } else {
    const float value = static_cast<float>(sum * sink.factor);
    y[i] = FromFloat<T>(sink.accumulate ? ToFloat(y[i]) + value : value);
  }
}

__device__ __forceinline__ void Store(const Sink& sink, int64_t i, double sum) {
  switch (sink.type) {
    case Element::kF64:
      return StoreAs<double>(sink, i, sum);
    case Element::kBF16:
      return StoreAs<__nv_bfloat16>(sink, i, sum);
    case Element::kF16:
      return StoreAs<__half>(sink, i, sum);
    default:
      return StoreAs<float>(sink, i, sum);
  }
}

// A task is one sum of at most terms_per_sum terms; sum (part, output) goes to element part * outputs + output.
struct Tasks {
  int64_t outputs, terms, terms_per_sum, parts;
};

template <typename T, int N, typename Index>
__global__ void SumTermsKernel(const T* x, Reduction reduction, Tasks tasks, Sink sink, int threads_per_task) {
  __shared__ double shared[kWarp];
  const int groups = blockDim.x / threads_per_task, thread = threadIdx.x % threads_per_task;
  const int64_t all = tasks.outputs * tasks.parts;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * groups; first < all;
       first += static_cast<int64_t>(gridDim.x) * groups) {
    const int64_t task = first + threadIdx.x / threads_per_task;
    if (task >= all) continue;  // only where a group is a warp, which meets no block barrier
    const T* from = x + PositionAt<Index>(reduction.kept, task % tasks.outputs).a;
    const int64_t begin = task / tasks.outputs * tasks.terms_per_sum;
    const int64_t end = tasks.terms - begin < tasks.terms_per_sum ? tasks.terms : begin + tasks.terms_per_sum;
    double sums[N] = {};
    for (int64_t t = begin + thread * N; t < end; t += static_cast<int64_t>(threads_per_task) * N) {
      AddElements(from + PositionAt<Index>(reduction.summed, t).a, sums);
    }
    double sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += sums[k];
    sum = RowReduce(sum, SumOf(), threads_per_task, shared);
    if (thread == 0) Store(sink, task, sum);
  }
}

constexpr int kTermLanes = 8;  // warps of a block: warp w takes terms w, w + 8, ...

template <typename T, int N, typename Index>
__global__ void SumRowsKernel(const T* x, Reduction reduction, Tasks tasks, Sink sink) {
  __shared__ double shared[kTermLanes][kWarp * N];
  const int lane = threadIdx.x % kWarp, term_lane = threadIdx.x / kWarp;
  const int64_t groups = CeilDiv(tasks.outputs, kWarp * N);
  for (int64_t task = blockIdx.x; task < groups * tasks.parts; task += gridDim.x) {
    const int64_t part = task / groups, first = task % groups * (kWarp * N), output = first + lane * N;
    const int64_t begin = part * tasks.terms_per_sum;
    const int64_t end = tasks.terms - begin < tasks.terms_per_sum ? tasks.terms : begin + tasks.terms_per_sum;
    double sums[N] = {};
    if (output < tasks.outputs) {
      const T* from = x + PositionAt<Index>(reduction.kept, output).a;
      for (int64_t t = begin + term_lane; t < end; t += kTermLanes) {
        AddElements(from + PositionAt<Index>(reduction.summed, t).a, sums);
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) shared[term_lane][lane * N + k] = sums[k];
    __syncthreads();
    for (int j = threadIdx.x; j < kWarp * N; j += blockDim.x) {
      double sum = 0;
      for (int i = 0; i < kTermLanes; ++i) sum += shared[i][j];
      if (first + j < tasks.outputs) Store(sink, part * tasks.outputs + first + j, sum);
    }
    __syncthreads();
  }
}

// May N elements be read at once along `along`, whose innermost axis lies dense in x? Rows are whole accesses, and all
// of them aligned.
bool Vectorises(const Walk& along, const Walk& other, uint64_t n) {
  const int inner = along.axes - 1;
  if (along.a[inner] != 1 || along.size[inner] % n != 0) return false;
  for (int i = 0; i < inner; ++i) {
    if (along.a[i] % n != 0) return false;
  }
  for (int i = 0; i < other.axes; ++i) {
    if (other.a[i] % n != 0) return false;
  }
  return true;
}

template <typename T, int N, typename Index>
Code LaunchSums(const T* x, const Reduction& reduction, const Tasks& tasks, const Sink& sink, StreamHandle stream) {
  if (reduction.within_rows) {
    const int64_t terms = std::min(tasks.terms, tasks.terms_per_sum);
    const RowLaunch at = ForRows(tasks.outputs * tasks.parts, terms, N, kThreads);
    return LaunchKernel(SumTermsKernel<T, N, Index>, at.launch, stream, x, reduction, tasks, sink, at.threads_per_row);
  }
  Launch at;
  at.threads = kWarp * kTermLanes;
  at.blocks = std::min(CeilDiv(tasks.outputs, kWarp * N) * tasks.parts, kMostStridingBlocks);
  return LaunchKernel(SumRowsKernel<T, N, Index>, at, stream, x, reduction, tasks, sink);
}

template <typename T>
Code LaunchTyped(const T* x, const Reduction& r, int64_t terms_per_sum, const Sink& sink, StreamHandle stream) {
  const Tasks tasks = {.outputs = r.outputs(),
                       .terms = r.terms(),
                       .terms_per_sum = terms_per_sum,
                       .parts = std::max<int64_t>(1, CeilDiv(r.terms(), terms_per_sum))};
  const bool wide =
      VectorElements(sizeof(T), {Address(x)}) > 1 &&
      (r.within_rows ? Vectorises(r.summed, r.kept, kPerAccess<T>) : Vectorises(r.kept, r.summed, kPerAccess<T>));
  return ForIndexType(std::max(tasks.outputs, tasks.terms), [&]<typename Index>(TypeTag<Index>) {
    return wide ? LaunchSums<T, kPerAccess<T>, Index>(x, r, tasks, sink, stream)
                : LaunchSums<T, 1, Index>(x, r, tasks, sink, stream);
  });
}

Code LaunchOnce(Element type, const void* x, const Reduction& r, int64_t terms_per_sum, const Sink& sink,
                StreamHandle stream) {
  if (type == Element::kF64) return LaunchTyped(static_cast<const double*>(x), r, terms_per_sum, sink, stream);
  return ForFloatType(type, [&]<typename T>(TypeTag<T>) {
    return LaunchTyped(static_cast<const T*>(x), r, terms_per_sum, sink, stream);
  });
}

// The sum over the parts of each output, [parts, outputs].
Reduction OverParts(int64_t parts, int64_t outputs) {
  Reduction r;
  r.kept.size[0] = outputs;
  r.kept.a[0] = 1;
  r.summed.size[0] = parts;
  r.summed.a[0] = outputs;
  r.within_rows = outputs == 1;
  return r;
}

}  // namespace

Code LaunchReduce(const ReduceCall& call, StreamHandle stream) {
  const Reduction& r = call.reduction;
  const Sink y = {call.y, call.out, call.factor, call.accumulate};
  const int64_t parts = r.sums_per_output();
  if (parts == 1) return LaunchOnce(call.type, call.x, r, r.terms_per_sum(), y, stream);
  const Sink partial = {call.partial, Element::kF64, 1.0, false};
  const Code code = LaunchOnce(call.type, call.x, r, r.terms_per_sum(), partial, stream);
  if (code != kSuccess) return code;
  return LaunchOnce(Element::kF64, call.partial, OverParts(parts, r.outputs()), /*terms_per_sum=*/parts, y, stream);
}

}  // namespace millrace::cuda
