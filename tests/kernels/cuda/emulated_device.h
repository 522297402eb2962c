// The CUDA backend on the host: its own kernels compiled by g++ and run by the emulator, its device code on an API of
// host memory. No cuBLASLt and no cuDNN: products and attention take the own kernels.
#ifndef TESTS_KERNELS_CUDA_EMULATED_DEVICE_H_
#define TESTS_KERNELS_CUDA_EMULATED_DEVICE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace::cuda {

absl::StatusOr<std::unique_ptr<Device>> OpenEmulated(const DeviceOptions& options);

}  // namespace millrace::cuda

#endif  // TESTS_KERNELS_CUDA_EMULATED_DEVICE_H_
