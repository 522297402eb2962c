#include "kernels/cuda/dropout.h"

#include <cmath>

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/random.h"

namespace millrace::cuda {
namespace {

class DropoutKernel : public CudaKernel {
 public:
  DropoutKernel(const DropoutCall& call, uint64_t random_key)
      : CudaKernel("Dropout", {}), call_(call), random_key_(random_key) {}

 protected:
  // The key of the run is an argument of the launch: a graph captured from it repeats one step's mask.
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    const Philox philox(args.key.seed, random_key_, args.key.step, args.key.micro_batch);
    DropoutCall call = call_;
    call.key = {philox.key0, philox.key1, philox.step, philox.micro_batch};
    call.x = In(args, 0);
    call.y = Out(args, 0);
    return Launched(stream, LaunchDropout(call, stream.handle()));
  }

 private:
  const DropoutCall call_;
  const uint64_t random_key_;
};

}  // namespace

KernelOr NewDropout(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  const double ratio = desc.attributes.Float("ratio", 0.5);
  DropoutCall call = {.type = ElementOf(desc.input(0)), .elements = desc.input(0).elements(), .key = {}};
  call.threshold = static_cast<uint32_t>(std::ceil(ratio * 0x1p24));
  call.scale = static_cast<float>(1.0 / (1.0 - ratio));
  return std::make_unique<DropoutKernel>(call, desc.attributes.Bits("random_key", 0));
}

}  // namespace millrace::cuda
