#include "kernels/cuda/unary.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {
namespace {

constexpr struct {
  absl::string_view op;
  MapOp exact, approximate;  // the latter when the attribute approximate is "tanh"
} kMaps[] = {
    {"Neg", MapOp::kNeg, MapOp::kNeg},
    {"Relu", MapOp::kRelu, MapOp::kRelu},
    {"Tanh", MapOp::kTanh, MapOp::kTanh},
    {"Sigmoid", MapOp::kSigmoid, MapOp::kSigmoid},
    {"Silu", MapOp::kSilu, MapOp::kSilu},
    {"Gelu", MapOp::kGelu, MapOp::kGeluTanh},
    {"ReluGrad", MapOp::kReluGrad, MapOp::kReluGrad},
    {"TanhGrad", MapOp::kTanhGrad, MapOp::kTanhGrad},
    {"SigmoidGrad", MapOp::kSigmoidGrad, MapOp::kSigmoidGrad},
    {"SiluGrad", MapOp::kSiluGrad, MapOp::kSiluGrad},
    {"GeluGrad", MapOp::kGeluGrad, MapOp::kGeluTanhGrad},
};

class UnaryOfTensor : public CudaKernel {
 public:
  UnaryOfTensor(std::string name, const UnaryCall& call) : CudaKernel(std::move(name), {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    UnaryCall call = call_;
    call.a = In(args, 0);
    if (HasTwoOperands(call.op)) call.b = In(args, 1);
    call.y = Out(args, 0);
    return Launched(stream, LaunchUnary(call, stream.handle()));
  }

 private:
  const UnaryCall call_;
};

class CopyOfTensor : public CudaKernel {
 public:
  CopyOfTensor(std::string name, int64_t bytes) : CudaKernel(std::move(name), {}), bytes_(bytes) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    if (args.inputs[0] == args.outputs[0]) return absl::OkStatus();
    return stream.Copy(args.outputs[0], args.inputs[0], bytes_);
  }

 private:
  const int64_t bytes_;
};

}  // namespace

KernelOr NewCopy(const Machine&, const OpDesc& desc) {
  return std::make_unique<CopyOfTensor>(desc.op, desc.input(0).bytes());
}

KernelOr NewUnary(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  const bool approximate = desc.attributes.String("approximate", "none") == "tanh";
  for (const auto& map : kMaps) {
    if (map.op != desc.op) continue;
    UnaryCall call = {.op = approximate ? map.approximate : map.exact, .type = ElementOf(desc.output(0))};
    call.elements = desc.output(0).elements();
    return std::make_unique<UnaryOfTensor>(desc.op, call);
  }
  return absl::NotFoundError(absl::StrCat("'", desc.op, "' is no elementwise operator"));
}

}  // namespace millrace::cuda
