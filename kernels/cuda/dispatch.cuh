// From an element type known at run time to one known to the compiler.
#ifndef KERNELS_CUDA_DISPATCH_CUH_
#define KERNELS_CUDA_DISPATCH_CUH_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"

namespace millrace::cuda {

template <typename T>
struct TypeTag {
  using type = T;
};

// Calls launch(TypeTag<float>()) and so on; kInvalidValue for a type that families refuse at preparation.
template <typename Launcher>
Code ForFloatType(Element type, const Launcher& launch) {
  switch (type) {
    case Element::kF32:
      return launch(TypeTag<float>());
    case Element::kBF16:
      return launch(TypeTag<__nv_bfloat16>());
    case Element::kF16:
      return launch(TypeTag<__half>());
    default:
      return kInvalidValue;
  }
}

// The type to divide indices below `most` in: 32 bits where they do, several times as fast.
template <typename Launcher>
Code ForIndexType(int64_t most, const Launcher& launch) {
  return most < (int64_t{1} << 31) ? launch(TypeTag<uint32_t>()) : launch(TypeTag<uint64_t>());
}

// The same for the types that tensor cores multiply.
template <typename Launcher>
Code For16BitType(Element type, const Launcher& launch) {
  switch (type) {
    case Element::kBF16:
      return launch(TypeTag<__nv_bfloat16>());
    case Element::kF16:
      return launch(TypeTag<__half>());
    default:
      return kInvalidValue;
  }
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_DISPATCH_CUH_
