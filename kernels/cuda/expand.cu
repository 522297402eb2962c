// Bound by memory: one write per element; what is repeated is read from the caches. 16 bytes per thread where the
// innermost axis of x is dense or repeats one element.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/expand.h"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

template <typename T, int N, typename Index>
__global__ void ExpandKernel(ExpandCall call, int64_t elements) {
  const T* x = static_cast<const T*>(call.x);
  T* y = static_cast<T*>(call.y);
  const bool dense = call.walk.a[call.walk.axes - 1] != 0;
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    const T* from = x + PositionAt<Index>(call.walk, i).a;
    float values[N];
    if (dense) {
      LoadUpTo(from, elements - i, values);
    } else {
      const float one = ToFloat(*from);
#pragma unroll
      for (int k = 0; k < N; ++k) values[k] = one;
    }
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] *= call.scale;
    StoreUpTo(values, elements - i, y + i);
  }
}

template <typename T>
bool Vectorises(const ExpandCall& call) {
  const Walk& walk = call.walk;
  const int inner = walk.axes - 1;
  const int64_t n = kPerAccess<T>;
  if (VectorElements(sizeof(T), {Address(call.y)}) == 1) return false;
  // No access straddles two rows, unless there is one row only.
  if (inner > 0 && walk.size[inner] % n != 0) return false;
  if (walk.a[inner] == 0) return true;
  if (walk.a[inner] != 1 || VectorElements(sizeof(T), {Address(call.x)}) == 1) return false;
  for (int i = 0; i < inner; ++i) {
    if (walk.a[i] % n != 0) return false;
  }
  return true;
}

}  // namespace

Code LaunchExpand(const ExpandCall& call, StreamHandle stream) {
  const int64_t elements = call.walk.elements();
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    return ForIndexType(elements, [&]<typename Index>(TypeTag<Index>) {
      const bool wide = Vectorises<T>(call);
      return LaunchKernel(wide ? ExpandKernel<T, kPerAccess<T>, Index> : ExpandKernel<T, 1, Index>,
                          ForElements(elements, wide ? kPerAccess<T> : 1), stream, call, elements);
    });
  });
}

}  // namespace millrace::cuda
