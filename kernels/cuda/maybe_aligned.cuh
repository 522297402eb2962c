// N elements at once where addresses allow, one by one where not: for kernels in which a thread's elements are fixed,
// whatever their alignment.
#ifndef KERNELS_CUDA_MAYBE_ALIGNED_CUH_
#define KERNELS_CUDA_MAYBE_ALIGNED_CUH_

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace millrace::cuda {

// As LoadUpTo; `from` is aligned to N elements only if `aligned`.
template <bool aligned, int N, typename T>
__device__ __forceinline__ void LoadMaybeAligned(const T* from, int64_t left, float (&to)[N]) {
  if constexpr (aligned) {
    LoadUpTo(from, left, to);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = i < left ? ToFloat(from[i]) : 0.0f;
  }
}

template <bool aligned, int N, typename T>
__device__ __forceinline__ void StoreMaybeAligned(const float (&from)[N], int64_t left, T* to) {
  if constexpr (aligned) {
    StoreUpTo(from, left, to);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (i < left) to[i] = FromFloat<T>(from[i]);
    }
  }
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_MAYBE_ALIGNED_CUH_
