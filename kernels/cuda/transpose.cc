#include "kernels/cuda/transpose.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/walk_axes.h"

namespace millrace::cuda {
namespace {

class TransposeKernel : public CudaKernel {
 public:
  explicit TransposeKernel(const TransposeCall& call) : CudaKernel("Transpose", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    TransposeCall call = call_;
    call.x = In(args, 0);
    call.y = Out(args, 0);
    return Launched(stream, LaunchTranspose(call, stream.handle()));
  }

 private:
  const TransposeCall call_;
};

}  // namespace

KernelOr NewTranspose(const Machine&, const OpDesc& desc) {
  const std::vector<int64_t>& to = desc.output(0).dims;
  std::vector<int64_t> perm = desc.attributes.Ints("perm");
  if (perm.empty()) {
    for (size_t i = to.size(); i-- > 0;) perm.push_back(static_cast<int64_t>(i));
  }
  const std::vector<int64_t> from = DenseStrides(desc.input(0).dims), dense = DenseStrides(to);
  Axes axes;
  for (size_t i = 0; i < to.size(); ++i) axes.push_back({to[i], from[perm[i]], dense[i]});
  TransposeCall call = {.element_bytes = static_cast<int>(SizeOf(desc.input(0).dtype)), .walk = {}};
  MR_ASSIGN_OR_RETURN(call.walk, WalkOf(axes, desc));
  return std::make_unique<TransposeKernel>(call);
}

}  // namespace millrace::cuda
