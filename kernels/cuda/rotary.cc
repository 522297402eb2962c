#include "kernels/cuda/rotary.h"

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {
namespace {

class RotaryKernel : public CudaKernel {
 public:
  explicit RotaryKernel(const RotaryCall& call) : CudaKernel("RotaryEmbedding", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    RotaryCall call = call_;
    call.x = In(args, 0);
    call.cosine = In(args, 1);
    call.sine = In(args, 2);
    call.y = Out(args, 0);
    return Launched(stream, LaunchRotary(call, stream.handle()));
  }

 private:
  const RotaryCall call_;
};

}  // namespace

KernelOr NewRotary(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  const TensorSpec& x = desc.input(0);
  RotaryCall call = {.type = ElementOf(x), .shape = {}};
  call.shape.pairs = x.elements() / 2;
  call.shape.positions = x.dims[1];
  call.shape.heads = desc.attributes.Int("num_heads", 1);
  call.shape.half = x.columns() / call.shape.heads / 2;
  call.shape.interleaved = desc.attributes.Int("interleaved", 0) != 0;
  call.direction = desc.attributes.Int("inverse", 0) != 0 ? -1.0f : 1.0f;
  return std::make_unique<RotaryKernel>(call);
}

}  // namespace millrace::cuda
