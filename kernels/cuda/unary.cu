// Bound by memory: two accesses per element and gradient three, 8 (12) bytes in f32, 4 (6) in bf16 and f16. At 16 bytes
// per thread and access about 90 % of the device's rate can be had.
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/unary.h"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

template <MapOp op, typename T, int N>
__global__ void UnaryKernel(const T* a, const T* b, T* y, int64_t elements) {
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    float x[N];
    LoadUpTo(a + i, elements - i, x);
    if constexpr (HasTwoOperands(op)) {
      float at[N];
      LoadUpTo(b + i, elements - i, at);
#pragma unroll
      for (int k = 0; k < N; ++k) x[k] *= Map<op>(at[k]);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) x[k] = Map<op>(x[k]);
    }
    StoreUpTo(x, elements - i, y + i);
  }
}

template <MapOp op, typename T>
Code LaunchMap(const UnaryCall& call, StreamHandle stream) {
  const T* a = static_cast<const T*>(call.a);
  const T* b = static_cast<const T*>(call.b);
  T* y = static_cast<T*>(call.y);
  const int n = VectorElements(sizeof(T), {Address(a), Address(b), Address(y)});
  const Launch at = ForElements(call.elements, n);
  if (n == 1) return LaunchKernel(UnaryKernel<op, T, 1>, at, stream, a, b, y, call.elements);
  return LaunchKernel(UnaryKernel<op, T, kPerAccess<T>>, at, stream, a, b, y, call.elements);
}

template <MapOp op>
Code LaunchOp(const UnaryCall& call, StreamHandle stream) {
  return ForFloatType(call.type, [&]<typename T>(TypeTag<T>) { return LaunchMap<op, T>(call, stream); });
}

}  // namespace

Code LaunchUnary(const UnaryCall& call, StreamHandle stream) {
  switch (call.op) {
    case MapOp::kIdentity: return LaunchOp<MapOp::kIdentity>(call, stream);
    case MapOp::kNeg: return LaunchOp<MapOp::kNeg>(call, stream);
    case MapOp::kRelu: return LaunchOp<MapOp::kRelu>(call, stream);
    case MapOp::kTanh: return LaunchOp<MapOp::kTanh>(call, stream);
    case MapOp::kSigmoid: return LaunchOp<MapOp::kSigmoid>(call, stream);
    case MapOp::kSilu: return LaunchOp<MapOp::kSilu>(call, stream);
    case MapOp::kGelu: return LaunchOp<MapOp::kGelu>(call, stream);
    case MapOp::kGeluTanh: return LaunchOp<MapOp::kGeluTanh>(call, stream);
    case MapOp::kReluGrad: return LaunchOp<MapOp::kReluGrad>(call, stream);
    case MapOp::kTanhGrad: return LaunchOp<MapOp::kTanhGrad>(call, stream);
    case MapOp::kSigmoidGrad: return LaunchOp<MapOp::kSigmoidGrad>(call, stream);
    case MapOp::kSiluGrad: return LaunchOp<MapOp::kSiluGrad>(call, stream);
    case MapOp::kGeluGrad: return LaunchOp<MapOp::kGeluGrad>(call, stream);
    case MapOp::kGeluTanhGrad: return LaunchOp<MapOp::kGeluTanhGrad>(call, stream);
  }
  return kInvalidValue;
}

}  // namespace millrace::cuda
