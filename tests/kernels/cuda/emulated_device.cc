#include "tests/kernels/cuda/emulated_device.h"

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/op_table.h"
#include "tests/kernels/cuda/host_cuda_api.h"

namespace millrace::cuda {
absl::StatusOr<std::unique_ptr<Device>> OpenEmulated(const DeviceOptions&) {
  static HostCudaApi* const api = new HostCudaApi;
  Machine machine;
  machine.chip = FakeCudaApi::H200(0);
  machine.graphs = false;
  return std::make_unique<CudaDevice>(*api, machine, OpTable());
}

}  // namespace millrace::cuda
