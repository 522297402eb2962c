#include "kernels/cuda/expand.h"

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/walk_axes.h"

namespace millrace::cuda {
namespace {

class ExpandKernel : public CudaKernel {
 public:
  explicit ExpandKernel(const ExpandCall& call) : CudaKernel("Expand", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    ExpandCall call = call_;
    call.x = In(args, 0);
    call.y = Out(args, 0);
    return Launched(stream, LaunchExpand(call, stream.handle()));
  }

 private:
  const ExpandCall call_;
};

}  // namespace

KernelOr NewExpand(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  const TensorSpec& y = desc.output(0);
  ExpandCall call = {.type = ElementOf(y), .walk = {}};
  MR_ASSIGN_OR_RETURN(call.walk, BroadcastWalk(desc.input(0).dims, y.dims, y.dims, desc));
  call.scale = static_cast<float>(desc.attributes.Float("scale", 1));
  return std::make_unique<ExpandKernel>(call);
}

}  // namespace millrace::cuda
