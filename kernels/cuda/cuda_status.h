// CUDA's error codes as absl::Status.
#ifndef KERNELS_CUDA_CUDA_STATUS_H_
#define KERNELS_CUDA_CUDA_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/cuda/cuda_api.h"

namespace millrace::cuda {

// OK for kSuccess. Otherwise "cuda:1: WHAT: cudaErrorX: text", RESOURCE_EXHAUSTED for want of memory, UNAVAILABLE for
// want of a device or a driver, else INTERNAL. An error that a kernel made is reported by a later call on the device,
// and says so.
absl::Status ToStatus(CudaApi& api, Code code, int device, absl::string_view what);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_STATUS_H_
