// Bound by memory: one element of each type, 6 bytes per element from f32 to bf16. The wider of the two moves in
// accesses of 16 bytes. (Conversions of doubles and of 64-bit integers are slow on GPUs and here are rare.)
#include "kernels/cuda/cast.h"
#include "kernels/cuda/cast_math.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch_kernel.cuh"
#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {
namespace {

template <typename T>
constexpr bool kIsHalf = std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __half>;

// bf16 and f16 from and to everything go by way of float.
template <typename To, typename From>
__device__ __forceinline__ To CastOne(From x) {
  if constexpr (kIsHalf<From> && kIsHalf<To>) {
    return FromFloat<To>(ToFloat(x));
  } else if constexpr (kIsHalf<From>) {
    return Converted<To>(ToFloat(x));
  } else if constexpr (kIsHalf<To>) {
    return FromFloat<To>(static_cast<float>(x));
  } else {
    return Converted<To>(x);
  }
}

template <typename From, typename To, int N>
__global__ void CastKernel(const From* x, To* y, int64_t elements) {
  for (int64_t i = FirstElement<N>(); i < elements; i += GridStride<N>()) {
    if (elements - i >= N) {
      const Elements<From, N> from = *reinterpret_cast<const Elements<From, N>*>(x + i);
      Elements<To, N> to;
#pragma unroll
      for (int k = 0; k < N; ++k) to.at[k] = CastOne<To>(from.at[k]);
      *reinterpret_cast<Elements<To, N>*>(y + i) = to;
    } else {
      for (int64_t k = i; k < elements; ++k) y[k] = CastOne<To>(x[k]);
    }
  }
}

template <typename From, typename To>
Code LaunchTyped(const CastCall& call, StreamHandle stream) {
  if constexpr (std::is_same_v<From, To>) {
    return kInvalidValue;
  } else {
    constexpr int kWide = kAccessBytes / static_cast<int>(std::max(sizeof(From), sizeof(To)));
    const bool wide = VectorElements(1, {Address(call.x), Address(call.y)}) > 1;
    return LaunchKernel(wide ? CastKernel<From, To, kWide> : CastKernel<From, To, 1>,
                        ForElements(call.elements, wide ? kWide : 1), stream, static_cast<const From*>(call.x),
                        static_cast<To*>(call.y), call.elements);
  }
}

template <typename Launcher>
Code ForNumberType(Element type, const Launcher& launch) {
  switch (type) {
    case Element::kF32:
      return launch(TypeTag<float>());
    case Element::kF64:
      return launch(TypeTag<double>());
    case Element::kBF16:
      return launch(TypeTag<__nv_bfloat16>());
    case Element::kF16:
      return launch(TypeTag<__half>());
    case Element::kI32:
      return launch(TypeTag<int32_t>());
    case Element::kI64:
      return launch(TypeTag<int64_t>());
    default:
      return kInvalidValue;
  }
}

}  // namespace

Code LaunchCast(const CastCall& call, StreamHandle stream) {
  return ForNumberType(call.from, [&]<typename From>(TypeTag<From>) {
    return ForNumberType(call.to, [&]<typename To>(TypeTag<To>) { return LaunchTyped<From, To>(call, stream); });
  });
}

}  // namespace millrace::cuda
