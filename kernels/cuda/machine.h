// What a kernel family of the CUDA backend may know and use when it prepares a kernel.
#ifndef KERNELS_CUDA_MACHINE_H_
#define KERNELS_CUDA_MACHINE_H_

#include <memory>

#include "kernels/cuda/chip.h"

namespace millrace::cuda {

class MatMulLibrary;
class AttentionLibrary;

// Held by the CudaDevice, which outlives its kernels. The pointers are null in tests of host decisions; a family that
// needs one then takes its own path, or says UNAVAILABLE.
struct Machine {
  Chip chip;
  bool graphs = true;                           // streams record work as graphs
  bool tf32 = false;                            // float32 products may round their operands to 10 bits of mantissa
  std::shared_ptr<MatMulLibrary> matmuls;       // cuBLASLt
  std::shared_ptr<AttentionLibrary> attention;  // cuDNN
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_MACHINE_H_
