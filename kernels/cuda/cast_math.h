// Conversions between number types, as the operator Cast defines them.
#ifndef KERNELS_CUDA_CAST_MATH_H_
#define KERNELS_CUDA_CAST_MATH_H_

#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

// Floats become integers by truncation; what does not fit becomes the nearest that does, NaN 0. Everything else rounds
// to nearest even.
template <typename To, typename From>
MR_HOST_DEVICE To Converted(From x) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // One more than the largest To: a power of two, exact in every float.
    const From limit = static_cast<From>(uint64_t{1} << (8 * sizeof(To) - 1));
    if (x != x) return 0;
    if (x >= limit) return std::numeric_limits<To>::max();
    if (x < -limit) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CAST_MATH_H_
