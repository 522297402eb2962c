#include "tests/parity/faulty_device.h"

#include <utility>

#include "kernels/backends.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

class FaultyKernel : public Kernel {
 public:
  FaultyKernel(std::unique_ptr<Kernel> kernel, OpDesc desc, FaultFn fault)
      : Kernel(kernel->needs()), kernel_(std::move(kernel)), desc_(std::move(desc)), fault_(std::move(fault)) {}

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    return kernel_->Pack(stream, args, packed);
  }
  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    MR_RETURN_IF_ERROR(kernel_->Run(stream, args));
    fault_(desc_, args);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<Kernel> kernel_;
  const OpDesc desc_;
  const FaultFn fault_;
};

class FaultyDevice : public Device {
 public:
  FaultyDevice(std::unique_ptr<Device> device, std::string op, FaultFn fault)
      : device_(std::move(device)), op_(std::move(op)), fault_(std::move(fault)) {}

  std::string kind() const override { return device_->kind(); }
  std::string name() const override { return device_->name(); }
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override { return device_->Allocate(bytes); }
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override { return device_->NewStream(); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return device_->NewEvent(); }
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, device_->NewKernel(desc));
    if (!op_.empty() && desc.op != op_) return kernel;
    return std::make_unique<FaultyKernel>(std::move(kernel), desc, fault_);
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
  const std::string op_;
  const FaultFn fault_;
};

}  // namespace

OpenDeviceFn FaultyOn(int rank, const std::string& op, FaultFn fault) {
  return
      [=](absl::string_view kind, int here, const DeviceOptions& options) -> absl::StatusOr<std::unique_ptr<Device>> {
        MR_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, OpenDevice(kind, options));
        if (here != rank) return device;
        return std::make_unique<FaultyDevice>(std::move(device), op, fault);
      };
}

}  // namespace millrace
