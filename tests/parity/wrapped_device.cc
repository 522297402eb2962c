#include "tests/parity/wrapped_device.h"

#include <string>
#include <utility>

#include "proto/status_macros.h"

namespace millrace {
namespace {

class WrappedDevice : public Device {
 public:
  WrappedDevice(std::unique_ptr<Device> device, WrapKernelFn wrap)
      : device_(std::move(device)), wrap_(std::move(wrap)) {}

  std::string kind() const override { return device_->kind(); }
  std::string name() const override { return device_->name(); }
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override { return device_->Allocate(bytes); }
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override { return device_->NewStream(); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return device_->NewEvent(); }
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, device_->NewKernel(desc));
    return wrap_(desc, std::move(kernel));
  }
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override {
    return device_->CopyIn(device_memory, host, bytes);
  }
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override {
    return device_->CopyOut(host, device_memory, bytes);
  }

 private:
  void Free(void*, uint64_t) override {}  // buffers belong to the device inside

  const std::unique_ptr<Device> device_;
  const WrapKernelFn wrap_;
};

}  // namespace

std::unique_ptr<Device> WrapKernels(std::unique_ptr<Device> device, WrapKernelFn wrap) {
  return std::make_unique<WrappedDevice>(std::move(device), std::move(wrap));
}

}  // namespace millrace
