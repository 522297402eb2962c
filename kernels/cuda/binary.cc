#include "kernels/cuda/binary.h"

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/walk_axes.h"

namespace millrace::cuda {
namespace {

class BinaryOfTensors : public CudaKernel {
 public:
  BinaryOfTensors(std::string name, const BinaryCall& call) : CudaKernel(std::move(name), {}), call_(call) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    BinaryCall call = call_;
    call.a = In(args, 0);
    call.b = In(args, 1);
    call.y = Out(args, 0);
    return Launched(stream, LaunchBinary(call, stream.handle()));
  }

 private:
  const BinaryCall call_;
};

BinaryOp OpOf(const std::string& name) {
  if (name == "Add") return BinaryOp::kAdd;
  if (name == "Sub") return BinaryOp::kSub;
  if (name == "Mul") return BinaryOp::kMul;
  return BinaryOp::kDiv;
}

}  // namespace

KernelOr NewBinary(const Machine&, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  if (!IsFloat(desc.input(0).dtype)) {
    return absl::UnimplementedError(
        absl::StrCat(desc.op, " on the cuda backend: ", desc.input(0).ToString(), "; only floats are supported"));
  }
  BinaryCall call = {.op = OpOf(desc.op), .type = ElementOf(desc.output(0)), .walk = {}};
  MR_ASSIGN_OR_RETURN(call.walk, BroadcastWalk(desc.input(0).dims, desc.input(1).dims, desc.output(0).dims, desc));
  return std::make_unique<BinaryOfTensors>(desc.op, call);
}

}  // namespace millrace::cuda
