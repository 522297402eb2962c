// What one GPU is like, as far as kernels and messages care. Plain numbers, so that what host code decides from them
// can be tried without a GPU.
#ifndef KERNELS_CUDA_CHIP_H_
#define KERNELS_CUDA_CHIP_H_

#include <cstdint>
#include <string>

namespace millrace::cuda {

struct Chip {
  int index = 0;  // among the devices that CUDA_VISIBLE_DEVICES leaves
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  // Shared memory that one block may have: at once, and after cudaFuncSetAttribute.
  int64_t shared_bytes = 48 << 10, most_shared_bytes = 48 << 10;
  int64_t l2_bytes = 0;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CHIP_H_
