// Gather and GatherGrad along axis 0.
#include "kernels/cuda/gather.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/gather_grad.h"

namespace millrace::cuda {
namespace {

class GatherKernel : public CudaKernel {
 public:
  explicit GatherKernel(const GatherCall& call) : CudaKernel("Gather", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    GatherCall call = call_;
    call.table = In(args, 0);
    call.indices = In<int64_t>(args, 1);
    call.y = Out(args, 0);
    return Launched(stream, LaunchGather(call, stream.handle()));
  }

 private:
  const GatherCall call_;
};

class GatherGradKernel : public CudaKernel {
 public:
  explicit GatherGradKernel(const GatherGradCall& call)
      : CudaKernel("GatherGrad", {.scratch_bytes = static_cast<uint64_t>(GatherGradScratch(call.count))}),
        call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    GatherGradCall call = call_;
    call.dy = In(args, 0);
    call.indices = In<int64_t>(args, 1);
    call.links = static_cast<int32_t*>(args.scratch);
    call.table = Out<float>(args, 0);
    return Launched(stream, LaunchGatherGrad(call, stream.handle()));
  }

 private:
  const GatherGradCall call_;
};

}  // namespace

KernelOr NewGather(const Machine&, const OpDesc& desc) {
  const TensorSpec& table = desc.input(0);
  GatherCall call = {.rows = table.dims[0], .count = desc.input(1).elements()};
  call.row_bytes = call.rows == 0 ? 0 : table.bytes() / call.rows;
  return std::make_unique<GatherKernel>(call);
}

KernelOr NewGatherGrad(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  const TensorSpec& table = desc.output(0);
  GatherGradCall call = {.type = ElementOf(desc.input(0)), .rows = table.dims[0]};
  call.columns = call.rows == 0 ? 0 : table.elements() / call.rows;
  call.count = desc.input(1).elements();
  if (call.count > kMostPositions) {
    return absl::UnimplementedError(absl::StrCat("GatherGrad on the cuda backend: ", call.count, " indices; at most ",
                                                 kMostPositions, " are supported. Use smaller micro-batches"));
  }
  return std::make_unique<GatherGradKernel>(call);
}

}  // namespace millrace::cuda
