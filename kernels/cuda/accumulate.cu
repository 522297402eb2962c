// Bound by memory: the sums are read and written, x is read: 12 bytes per element in f32, 10 with x in 16 bits.
#include "kernels/cuda/accumulate.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// The widest access is that of the sums.
constexpr int kFloats = kAccessBytes / sizeof(float);

template <typename T, int N>
__global__ void AccumulateKernel(const T* x, float* sums, int64_t elements) {
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    float now[N], added[N];
    LoadUpTo(sums + i, elements - i, now);
    LoadUpTo(x + i, elements - i, added);
#pragma unroll
    for (int k = 0; k < N; ++k) now[k] += added[k];
    StoreUpTo(now, elements - i, sums + i);
  }
}

// For scalars: losses and counts.
__global__ void AccumulateDoublesKernel(const double* x, double* sums, int64_t elements) {
  for (int64_t i = FirstElement<1>(); i < elements; i += GridStride<1>()) sums[i] += x[i];
}

}  // namespace

Code LaunchAccumulate(const AccumulateCall& call, StreamHandle stream) {
  if (call.type == Element::kF64) {
    return LaunchKernel(AccumulateDoublesKernel, ForElements(call.elements, 1), stream,
                        static_cast<const double*>(call.x), static_cast<double*>(call.sums), call.elements);
  }
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const bool wide = VectorElements(1, {Address(call.x), Address(call.sums)}) > 1;
    return LaunchKernel(wide ? AccumulateKernel<T, kFloats> : AccumulateKernel<T, 1>,
                        ForElements(call.elements, wide ? kFloats : 1), stream, static_cast<const T*>(call.x),
                        static_cast<float*>(call.sums), call.elements);
  });
}

}  // namespace millrace::cuda
