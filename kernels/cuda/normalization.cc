// LayerNormalization, RMSNormalization and their gradients.
#include "kernels/cuda/normalization.h"

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/normalization_grad.h"

namespace millrace::cuda {
namespace {

// Outputs 1 and 2, or 1 alone for RMS, are optional.
struct Wanted {
  bool first, second;
};

float* Optional(const KernelArgs& args, bool wanted, int i) { return wanted ? Out<float>(args, i) : nullptr; }

class NormalizationKernel : public CudaKernel {
 public:
  NormalizationKernel(std::string name, const NormalizationCall& call, bool bias, Wanted wanted)
      : CudaKernel(std::move(name), {}), call_(call), bias_(bias), wanted_(wanted) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    NormalizationCall call = call_;
    call.x = In(args, 0);
    call.scale = In(args, 1);
    if (bias_) call.bias = In(args, 2);
    call.y = Out(args, 0);
    if (call.centred) call.mean = Optional(args, wanted_.first, 1);
    call.inverse = call.centred ? Optional(args, wanted_.second, 2) : Optional(args, wanted_.first, 1);
    return Launched(stream, LaunchNormalization(call, stream.handle()));
  }

 private:
  const NormalizationCall call_;
  const bool bias_;
  const Wanted wanted_;
};

class NormalizationGradKernel : public CudaKernel {
 public:
  NormalizationGradKernel(std::string name, KernelNeeds needs, const NormalizationGradCall& call, Wanted wanted)
      : CudaKernel(std::move(name), std::move(needs)), call_(call), wanted_(wanted) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    NormalizationGradCall call = call_;
    call.dy = In(args, 0);
    call.x = In(args, 1);
    call.scale = In(args, 2);
    if (call.centred) call.mean = In<float>(args, 3);
    call.inverse = In<float>(args, call.centred ? 4 : 3);
    call.dx = Out(args, 0);
    call.d_scale = Optional(args, wanted_.first, 1);
    call.d_bias = Optional(args, wanted_.second, 2);
    call.partial = static_cast<float*>(args.scratch);
    return Launched(stream, LaunchNormalizationGrad(call, stream.handle()));
  }

 private:
  const NormalizationGradCall call_;
  const Wanted wanted_;
};

bool IsCentred(const OpDesc& desc) { return desc.op.starts_with("Layer"); }
Wanted WantedOf(const OpDesc& desc) { return {desc.output(1).present(), desc.output(2).present()}; }

}  // namespace

KernelOr NewNormalization(const Machine&, const OpDesc& desc) {
  // Statistics are f32 whatever the rest is.
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  NormalizationCall call = {.type = ElementOf(desc.input(0)), .centred = IsCentred(desc)};
  call.rows = desc.input(0).rows();
  call.columns = desc.input(0).columns();
  call.epsilon = static_cast<float>(desc.attributes.Float("epsilon", 1e-5));
  return std::make_unique<NormalizationKernel>(desc.op, call, call.centred && desc.input(2).present(), WantedOf(desc));
}

KernelOr NewNormalizationGrad(const Machine&, const OpDesc& desc) {
  OpDesc tensors = desc;
  tensors.inputs.resize(3);  // the others are statistics
  MR_RETURN_IF_ERROR(OneFloatType(tensors, /*skip_outputs=*/true));
  NormalizationGradCall call = {.type = ElementOf(desc.input(0)), .centred = IsCentred(desc)};
  call.rows = desc.input(1).rows();
  call.columns = desc.input(1).columns();
  const Wanted wanted = WantedOf(desc);
  KernelNeeds needs;
  if (wanted.first || wanted.second) needs.scratch_bytes = NormalizationGradScratch(call.rows, call.columns);
  return std::make_unique<NormalizationGradKernel>(desc.op, needs, call, wanted);
}

}  // namespace millrace::cuda
