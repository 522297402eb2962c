#include "kernels/cuda/reduce.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/reduction_of.h"

namespace millrace::cuda {
namespace {

class ReduceKernel : public CudaKernel {
 public:
  ReduceKernel(std::string name, const ReduceCall& call)
      : CudaKernel(std::move(name), {.scratch_bytes = static_cast<uint64_t>(call.reduction.scratch_bytes())}),
        call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    ReduceCall call = call_;
    call.x = In(args, 0);
    call.y = Out(args, 0);
    call.partial = static_cast<double*>(args.scratch);
    return Launched(stream, LaunchReduce(call, stream.handle()));
  }

 private:
  const ReduceCall call_;
};

// The input's dims with 1 where it is summed over.
std::vector<int64_t> KeptDims(const OpDesc& desc) {
  std::vector<int64_t> dims = desc.input(0).dims;
  const int64_t rank = static_cast<int64_t>(dims.size());
  const std::vector<int64_t> axes = desc.attributes.Ints("axes");
  if (axes.empty()) return std::vector<int64_t>(rank, 1);
  for (int64_t axis : axes) dims[axis < 0 ? axis + rank : axis] = 1;
  return dims;
}

}  // namespace

KernelOr NewReduce(const Machine&, const OpDesc& desc) {
  const TensorSpec& x = desc.input(0);
  if (x.dtype != proto::F64) MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  const bool to_output = desc.op == "ReduceSumTo";
  ReduceCall call = {.type = ElementOf(x), .out = ElementOf(desc.output(0)), .reduction = {}};
  MR_ASSIGN_OR_RETURN(call.reduction, ReductionOf(x.dims, to_output ? desc.output(0).dims : KeptDims(desc), desc));
  if (desc.op == "ReduceMean") call.factor = 1.0 / static_cast<double>(call.reduction.terms());
  call.accumulate = to_output && desc.attributes.Int("accumulate", 0) != 0;
  return std::make_unique<ReduceKernel>(desc.op, call);
}

}  // namespace millrace::cuda
