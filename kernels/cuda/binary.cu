// Bound by memory: three accesses per element, 12 bytes in f32, 6 in bf16 and f16; an operand that repeats comes from
// the caches and costs nothing. The innermost axis is taken 16 bytes at a time where each operand either moves densely
// or stands still along it.
#include "kernels/cuda/binary.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

// N elements of an operand along the innermost axis, whose stride is 0 or (with N > 1) 1.
template <int N, typename T>
__device__ __forceinline__ void LoadAlong(const T* from, int64_t stride, int64_t left, float (&to)[N]) {
  if (stride != 0) return LoadUpTo(from, left, to);
  const float value = ToFloat(*from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = value;
}

template <typename T, typename Index, int N>
__global__ void BinaryKernel(BinaryOp op, const T* a, const T* b, T* y, Walk walk, int64_t elements) {
  const int64_t a_step = walk.a[walk.axes - 1], b_step = walk.b[walk.axes - 1];
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    const WalkPosition at = PositionAt<Index>(walk, i);
    float x[N], z[N];
    LoadAlong(a + at.a, a_step, elements - i, x);
    LoadAlong(b + at.b, b_step, elements - i, z);
#pragma unroll
    for (int k = 0; k < N; ++k) x[k] = Combine(op, x[k], z[k]);
    StoreUpTo(x, elements - i, y + i);
  }
}

// May N elements go at once? Along the innermost axis each operand is dense or still, accesses never straddle two
// rows (a whole number of them per row, unless there is one row only), and every row of a dense operand is aligned.
template <typename T>
bool Vectorises(const BinaryCall& call) {
  const Walk& walk = call.walk;
  const int inner = walk.axes - 1;
  const uint64_t n = kPerAccess<T>;
  if (VectorElements(sizeof(T), {Address(call.y)}) == 1) return false;
  if (inner > 0 && walk.size[inner] % n != 0) return false;
  const auto fits = [&](const void* memory, const int64_t* strides) {
    if (strides[inner] == 0) return true;
    if (strides[inner] != 1 || VectorElements(sizeof(T), {Address(memory)}) == 1) return false;
    for (int i = 0; i < inner; ++i) {
      if (strides[i] % n != 0) return false;
    }
    return true;
  };
  return fits(call.a, walk.a) && fits(call.b, walk.b);
}

template <typename T, typename Index>
Code LaunchIndexed(const BinaryCall& call, int64_t elements, StreamHandle stream) {
  const bool vectorises = Vectorises<T>(call);
  const Launch at = ForElements(elements, vectorises ? kPerAccess<T> : 1);
  return LaunchKernel(vectorises ? BinaryKernel<T, Index, kPerAccess<T>> : BinaryKernel<T, Index, 1>, at, stream,
                      call.op, static_cast<const T*>(call.a), static_cast<const T*>(call.b), static_cast<T*>(call.y),
                      call.walk, elements);
}

}  // namespace

Code LaunchBinary(const BinaryCall& call, StreamHandle stream) {
  const int64_t elements = call.walk.elements();
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) {
    return elements < (int64_t{1} << 31) ? LaunchIndexed<T, uint32_t>(call, elements, stream)
                                         : LaunchIndexed<T, uint64_t>(call, elements, stream);
  });
}

}  // namespace millrace::cuda
