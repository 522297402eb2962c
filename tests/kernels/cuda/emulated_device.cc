#include "tests/kernels/cuda/emulated_device.h"

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/op_table.h"
#include "tests/kernels/cuda/fake_cuda_api.h"

namespace millrace::cuda {
namespace {

// Of the fake's notes nothing is read here.
class QuietApi : public FakeCudaApi {
 public:
  Code SetDevice(int index) override {
    calls.clear();
    return FakeCudaApi::SetDevice(index);
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> OpenEmulated(const DeviceOptions&) {
  static QuietApi* const api = new QuietApi;
  Machine machine;
  machine.chip = FakeCudaApi::H200(0);
  return std::make_unique<CudaDevice>(*api, machine, OpTable());
}

}  // namespace millrace::cuda
