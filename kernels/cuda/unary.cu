// Bound by memory: two accesses per element and gradient three, 8 (12) bytes in f32, 4 (6) in bf16 and f16. At 16 bytes
// per thread and access about 90 % of the device's rate can be had.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/unary.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

template <typename T, int N>
__global__ void UnaryKernel(MapOp op, const T* a, const T* b, T* y, int64_t elements) {
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    float x[N];
    LoadUpTo((b == nullptr ? a : b) + i, elements - i, x);
    MapAll(op, x);
    if (b != nullptr) {
      float dy[N];
      LoadUpTo(a + i, elements - i, dy);
#pragma unroll
      for (int k = 0; k < N; ++k) x[k] *= dy[k];
    }
    StoreUpTo(x, elements - i, y + i);
  }
}

}  // namespace

Code LaunchUnary(const UnaryCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    const T* a = static_cast<const T*>(call.a);
    const T* b = static_cast<const T*>(call.b);
    const int n = VectorElements(sizeof(T), {Address(a), Address(b), Address(call.y)});
    return LaunchKernel(n == 1 ? UnaryKernel<T, 1> : UnaryKernel<T, kPerAccess<T>>, ForElements(call.elements, n),
                        stream, call.op, a, b, static_cast<T*>(call.y), call.elements);
  });
}

}  // namespace millrace::cuda
