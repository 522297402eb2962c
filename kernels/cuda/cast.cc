// Cast and Accumulate.
#include "kernels/cuda/cast.h"

#include "kernels/cuda/accumulate.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {
namespace {

class CastKernel : public CudaKernel {
 public:
  explicit CastKernel(const CastCall& call) : CudaKernel("Cast", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    if (call_.from == call_.to) {
      return stream.Copy(args.outputs[0], args.inputs[0], call_.elements * SizeOf(call_.to));
    }
    CastCall call = call_;
    call.x = In(args, 0);
    call.y = Out(args, 0);
    return Launched(stream, LaunchCast(call, stream.handle()));
  }

 private:
  const CastCall call_;
};

class AccumulateKernel : public CudaKernel {
 public:
  explicit AccumulateKernel(const AccumulateCall& call) : CudaKernel("Accumulate", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    AccumulateCall call = call_;
    call.x = In(args, 0);
    call.sums = Out(args, 0);
    return Launched(stream, LaunchAccumulate(call, stream.handle()));
  }

 private:
  const AccumulateCall call_;
};

}  // namespace

KernelOr NewCast(const Machine&, const OpDesc& desc) {
  const TensorSpec& x = desc.input(0);
  return std::make_unique<CastKernel>(
      CastCall{.from = ElementOf(x), .to = ElementOf(desc.output(0)), .elements = x.elements()});
}

KernelOr NewAccumulate(const Machine&, const OpDesc& desc) {
  const TensorSpec& x = desc.input(0);
  if (x.dtype != proto::F64) MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  return std::make_unique<AccumulateKernel>(AccumulateCall{.type = ElementOf(x), .elements = x.elements()});
}

}  // namespace millrace::cuda
