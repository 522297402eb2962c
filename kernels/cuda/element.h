// Element types as device code knows them, without protobuf.
#ifndef KERNELS_CUDA_ELEMENT_H_
#define KERNELS_CUDA_ELEMENT_H_

#include <cstdint>

namespace millrace::cuda {

// Numbers as in proto::DataType.
enum class Element : int { kNone = 0, kF32 = 1, kF64 = 2, kBF16 = 3, kF16 = 4, kI32 = 5, kI64 = 6, kU8 = 7, kBool = 8 };

constexpr int SizeOf(Element element) {
  switch (element) {
    case Element::kF64:
    case Element::kI64:
      return 8;
    case Element::kF32:
    case Element::kI32:
      return 4;
    case Element::kBF16:
    case Element::kF16:
      return 2;
    case Element::kU8:
    case Element::kBool:
      return 1;
    default:
      return 0;
  }
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ELEMENT_H_
