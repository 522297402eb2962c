// The CUDA backend: cuBLASLt for products, cuDNN for attention, own kernels for the rest.
#ifndef KERNELS_CUDA_CUDA_H_
#define KERNELS_CUDA_CUDA_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace {

// False when the build chose no_cuda.cc.
bool CudaIsLinked();
// options.index counts the GPUs that CUDA_VISIBLE_DEVICES leaves. UNAVAILABLE says what is missing: a toolkit when this
// program was built, a library, a driver, or a GPU. INVALID_ARGUMENT: no such index, and which there are.
absl::StatusOr<std::unique_ptr<Device>> OpenCuda(const DeviceOptions& options);

// GPUs that CUDA_VISIBLE_DEVICES leaves; 0 also where there is no driver, or the build has no CUDA.
int CudaDeviceCount();

// Of the libraries behind the kernels, for example "CUDA 13.0, cuBLASLt 13.1.0, cuDNN 9.19.0"; empty when not linked.
std::string CudaLibraryVersions();

}  // namespace millrace

#endif  // KERNELS_CUDA_CUDA_H_
