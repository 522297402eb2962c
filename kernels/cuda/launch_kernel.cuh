// The launch itself, in one place: grid, block, dynamic shared memory, stream.
//
// Sources are also compiled by g++ for tests without a GPU (tests/kernels/cuda/emulator.h), which brings a LaunchKernel
// of its own that runs every thread of the grid on the host.
#ifndef KERNELS_CUDA_LAUNCH_KERNEL_CUH_
#define KERNELS_CUDA_LAUNCH_KERNEL_CUH_

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/launch.h"

#ifdef __CUDACC__

// The dynamic shared memory of a kernel: void* name.
#define MR_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

namespace millrace::cuda {

// Nothing is launched for an empty grid. A kernel that may need more than 48 KiB of shared memory is told so here,
// which is what CUDA asks for.
template <typename... Parameters, typename... Args>
Code LaunchKernel(void (*kernel)(Parameters...), const Launch& at, StreamHandle stream, Args... args) {
  if (at.empty()) return kSuccess;
  if (at.shared_bytes > (48 << 10)) {
    const cudaError_t raised =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, at.shared_bytes);
    if (raised != cudaSuccess) {
      cudaGetLastError();
      return raised;
    }
  }
  const dim3 grid(static_cast<unsigned>(at.blocks), static_cast<unsigned>(at.blocks_y),
                  static_cast<unsigned>(at.blocks_z));
  kernel<<<grid, at.threads, at.shared_bytes, stream>>>(args...);
  return cudaGetLastError();
}

}  // namespace millrace::cuda

#endif  // __CUDACC__

#endif  // KERNELS_CUDA_LAUNCH_KERNEL_CUH_
