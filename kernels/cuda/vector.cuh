// Several elements per access, as floats in registers. Body and tail are one code: an access that would pass the end
// goes element by element and reads zeros behind it.
#ifndef KERNELS_CUDA_VECTOR_CUH_
#define KERNELS_CUDA_VECTOR_CUH_

#include <cstdint>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/launch.h"

namespace millrace::cuda {

// N elements that one load or store moves; N * sizeof(T) is a power of two up to 16.
template <typename T, int N>
struct alignas(sizeof(T) * N) Elements {
  T at[N];
};

// The number of elements of a 16-byte access.
template <typename T>
inline constexpr int kPerAccess = kAccessBytes / static_cast<int>(sizeof(T));

// to[0..N) = from[0..min(N, left)), zeros behind. `from` is aligned to N elements.
template <int N, typename T>
__device__ __forceinline__ void LoadUpTo(const T* from, int64_t left, float (&to)[N]) {
  if (left >= N) {
    const Elements<T, N> all = *reinterpret_cast<const Elements<T, N>*>(from);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = ToFloat(all.at[i]);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = i < left ? ToFloat(from[i]) : 0.0f;
  }
}

// to[0..min(N, left)) = from.
template <int N, typename T>
__device__ __forceinline__ void StoreUpTo(const float (&from)[N], int64_t left, T* to) {
  if (left >= N) {
    Elements<T, N> all;
#pragma unroll
    for (int i = 0; i < N; ++i) all.at[i] = FromFloat<T>(from[i]);
    *reinterpret_cast<Elements<T, N>*>(to) = all;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (i < left) to[i] = FromFloat<T>(from[i]);
    }
  }
}

// First element of this thread, and how far all threads of the grid move together, for launches of ForElements.
template <int N>
__device__ __forceinline__ int64_t FirstElement() {
  return (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
}
template <int N>
__device__ __forceinline__ int64_t GridStride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x * N;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_VECTOR_CUH_
