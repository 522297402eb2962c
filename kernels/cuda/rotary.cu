// Bound by memory: two accesses per element, 8 bytes in f32, 4 in bf16 and f16; the tables of cosines and sines are
// small and read by every head of every sample from the caches. A thread takes N neighbouring pairs of one head: two
// accesses of N elements, from the two halves of the head or, interleaved, side by side.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// The x'th elements of N pairs whose 2 N elements were read as two runs of N, side by side in memory.
template <int N>
__device__ __forceinline__ float& Interleaved(float (&low)[N], float (&high)[N], int x) {
  return x < N ? low[x] : high[x - N];
}

template <typename T, int N, typename Index>
__global__ void RotaryKernel(RotaryCall call) {
  const T* x = static_cast<const T*>(call.x);
  const T* cosines = static_cast<const T*>(call.cosine);
  const T* sines = static_cast<const T*>(call.sine);
  T* y = static_cast<T*>(call.y);
  // N divides the pairs of a head, so N pairs are never of two heads.
  for (int64_t i = FirstElement<N>(); i < call.shape.pairs; i += GridStride<N>()) {
    const RotaryPair at = PairAt<Index>(call.shape, i);
    const int64_t run = call.shape.interleaved ? at.first + N : at.second;
    float low[N], high[N], cosine[N], sine[N];
    LoadUpTo(x + at.first, N, low);
    LoadUpTo(x + run, N, high);
    LoadUpTo(cosines + at.angle, N, cosine);
    LoadUpTo(sines + at.angle, N, sine);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (call.shape.interleaved) {
        Rotate(cosine[k], call.direction * sine[k], &Interleaved(low, high, 2 * k), &Interleaved(low, high, 2 * k + 1));
      } else {
        Rotate(cosine[k], call.direction * sine[k], &low[k], &high[k]);
      }
    }
    StoreUpTo(low, N, y + at.first);
    StoreUpTo(high, N, y + run);
  }
}

template <typename T, int N>
Code LaunchTyped(const RotaryCall& call, StreamHandle stream) {
  return ForIndexType(call.shape.pairs, [&]<typename Index>(TypeTag<Index>) {
    return LaunchKernel(RotaryKernel<T, N, Index>, ForElements(call.shape.pairs, N), stream, call);
  });
}

}  // namespace

Code LaunchRotary(const RotaryCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool wide =
        call.shape.half % kPerAccess<T> == 0 &&
        VectorElements(sizeof(T), {Address(call.x), Address(call.cosine), Address(call.sine), Address(call.y)}) > 1;
    return wide ? LaunchTyped<T, kPerAccess<T>>(call, stream) : LaunchTyped<T, 1>(call, stream);
  });
}

}  // namespace millrace::cuda
