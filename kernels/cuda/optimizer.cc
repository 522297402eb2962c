// AdamW, SgdMomentum, SquaredSums.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/adamw.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/sgd.h"
#include "kernels/cuda/squared_sums.h"

namespace millrace::cuda {
namespace {

class AdamWKernel : public CudaKernel {
 public:
  explicit AdamWKernel(const AdamWCall& call)
      : CudaKernel("AdamW", {.scratch_bytes = sizeof(AdamWFactors)}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    AdamWCall call = call_;
    call.hyper = In<double>(args, 0);
    call.param = Out(args, 0);
    call.grad = Out<float>(args, 1);
    call.m = Out<float>(args, 2);
    call.v = Out<float>(args, 3);
    if (call.has_master) call.master = Out<float>(args, 4);
    call.factors = static_cast<AdamWFactors*>(args.scratch);
    return Launched(stream, LaunchAdamW(call, stream.handle()));
  }

 private:
  const AdamWCall call_;
};

class SgdKernel : public CudaKernel {
 public:
  explicit SgdKernel(const SgdCall& call) : CudaKernel("SgdMomentum", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SgdCall call = call_;
    call.hyper = In<double>(args, 0);
    call.param = Out(args, 0);
    call.grad = Out<float>(args, 1);
    call.momentum = Out<float>(args, 2);
    if (call.has_master) call.master = Out<float>(args, 3);
    return Launched(stream, LaunchSgd(call, stream.handle()));
  }

 private:
  const SgdCall call_;
};

class SquaredSumsKernel : public CudaKernel {
 public:
  explicit SquaredSumsKernel(const SquaredSumsCall& call) : CudaKernel("SquaredSums", {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    SquaredSumsCall call = call_;
    call.x = In(args, 0);
    call.sums = Out<double>(args, 0);
    return Launched(stream, LaunchSquaredSums(call, stream.handle()));
  }

 private:
  const SquaredSumsCall call_;
};

}  // namespace

KernelOr NewOptimizer(const Machine&, const OpDesc& desc) {
  const TensorSpec& param = desc.output(0);
  if (param.dtype == proto::F64) {
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: the parameter is ", param.ToString(),
                                                 "; f32, bf16 and f16 are supported"));
  }
  const bool decays = desc.attributes.Int("decay", 0) != 0;
  if (desc.op == "AdamW") {
    return std::make_unique<AdamWKernel>(AdamWCall{.type = ElementOf(param),
                                                   .has_master = desc.outputs.size() > 4,
                                                   .elements = param.elements(),
                                                   .decays = decays});
  }
  return std::make_unique<SgdKernel>(SgdCall{.type = ElementOf(param),
                                             .has_master = desc.outputs.size() > 3,
                                             .elements = param.elements(),
                                             .decays = decays});
}

KernelOr NewSquaredSums(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));  // sums are f64
  return std::make_unique<SquaredSumsKernel>(SquaredSumsCall{.type = ElementOf(desc.input(0)),
                                                             .elements = desc.input(0).elements(),
                                                             .block = desc.attributes.Int("block", 1)});
}

}  // namespace millrace::cuda
