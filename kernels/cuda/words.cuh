// Moving bytes of any element type in the widest words that sizes and addresses allow.
#ifndef KERNELS_CUDA_WORDS_CUH_
#define KERNELS_CUDA_WORDS_CUH_

#include <cstdint>

#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/launch.h"

namespace millrace::cuda {

struct alignas(16) Word16 {
  uint32_t part[4];
};

// launch(TypeTag<Word>()) with the widest word of 16, 8, 4, 2 or 1 bytes that divides all of `numbers`, which are
// sizes, strides and addresses or'ed together.
template <typename Launcher>
Code ForWord(uint64_t numbers, const Launcher& launch) {
  if (numbers % 16 == 0) return launch(TypeTag<Word16>());
  if (numbers % 8 == 0) return launch(TypeTag<uint64_t>());
  if (numbers % 4 == 0) return launch(TypeTag<uint32_t>());
  if (numbers % 2 == 0) return launch(TypeTag<uint16_t>());
  return launch(TypeTag<uint8_t>());
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_WORDS_CUH_
