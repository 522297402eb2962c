#include "kernels/cuda/softmax.h"

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {
namespace {

class SoftmaxKernel : public CudaKernel {
 public:
  explicit SoftmaxKernel(const SoftmaxCall& call) : CudaKernel("Softmax", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SoftmaxCall call = call_;
    call.x = In(args, 0);
    call.y = Out(args, 0);
    return Launched(stream, LaunchSoftmax(call, stream.handle()));
  }

 private:
  const SoftmaxCall call_;
};

class SoftmaxGradKernel : public CudaKernel {
 public:
  explicit SoftmaxGradKernel(const SoftmaxGradCall& call) : CudaKernel("SoftmaxGrad", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SoftmaxGradCall call = call_;
    call.dy = In(args, 0);
    call.y = In(args, 1);
    call.dx = Out(args, 0);
    return Launched(stream, LaunchSoftmaxGrad(call, stream.handle()));
  }

 private:
  const SoftmaxGradCall call_;
};

}  // namespace

KernelOr NewSoftmax(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  const TensorSpec& x = desc.input(0);
  if (desc.op == "Softmax") {
    return std::make_unique<SoftmaxKernel>(SoftmaxCall{.type = ElementOf(x), .rows = x.rows(), .columns = x.columns()});
  }
  return std::make_unique<SoftmaxGradKernel>(
      SoftmaxGradCall{.type = ElementOf(x), .rows = x.rows(), .columns = x.columns()});
}

}  // namespace millrace::cuda
