#include "tests/parity/faulty_device.h"

#include <utility>

#include "kernels/backends.h"
#include "proto/status_macros.h"
#include "tests/parity/wrapped_device.h"

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

}  // namespace

OpenDeviceFn FaultyOn(int rank, const std::string& op, FaultFn fault) {
  return
      [=](absl::string_view kind, int here, const DeviceOptions& options) -> absl::StatusOr<std::unique_ptr<Device>> {
        MR_ASSIGN_OR_RETURN(std::unique_ptr<Device> device, OpenDevice(kind, options));
        if (here != rank) return device;
        return WrapKernels(std::move(device), [op, fault](const OpDesc& desc, std::unique_ptr<Kernel> kernel) {
          if (!op.empty() && desc.op != op) return kernel;
          return std::unique_ptr<Kernel>(std::make_unique<FaultyKernel>(std::move(kernel), desc, fault));
        });
      };
}

}  // namespace millrace
