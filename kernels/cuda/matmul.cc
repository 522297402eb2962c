// MatMul, Gemm and FusedMatMul: library products, with as much of what follows as an epilogue can do, else a pass of
// our own. Weights are not packed: cuBLASLt reads them as they are.
#include <utility>

#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/finish_rows.h"
#include "kernels/cuda/matmul_shape.h"
#include "kernels/cuda/product.h"

namespace millrace::cuda {
namespace {

class MatMulKernel : public CudaKernel {
 public:
  MatMulKernel(std::string name, KernelNeeds needs, MatMulShape shape, EpiloguePlan plan,
               std::unique_ptr<PreparedProduct> product)
      : CudaKernel(std::move(name), std::move(needs)),
        shape_(std::move(shape)),
        plan_(plan),
        product_(std::move(product)) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    if (shape_.product.empty()) return absl::OkStatus();
    for (const MatMulShape::Begin& begin : shape_.calls) {
      MR_RETURN_IF_ERROR(product_->Run(stream, MemoryOf(args, begin)));
    }
    if (plan_.finish) MR_RETURN_IF_ERROR(Finish(stream, args));
    if (shape_.scaled_c) MR_RETURN_IF_ERROR(AddC(stream, args));
    return absl::OkStatus();
  }

 private:
  // Where the product goes: what is done to it later starts from `pre` when that is kept.
  void* Target(const KernelArgs& args) const { return plan_.finish && shape_.pre ? args.outputs[1] : args.outputs[0]; }

  ProductMemory MemoryOf(const KernelArgs& args, const MatMulShape::Begin& begin) const {
    const auto at = [&](void* memory, int64_t element) -> void* {
      return memory == nullptr ? nullptr : static_cast<char*>(memory) + element * SizeOf(shape_.product.in);
    };
    ProductMemory memory;
    memory.a = at(args.inputs[0], begin.a);
    memory.b = at(args.inputs[1], begin.b);
    memory.d = at(Target(args), begin.d);
    if (plan_.c_is_residual) memory.c = at(args.inputs[3], begin.d);
    if (HasBias(plan_.epilogue)) memory.bias = args.inputs[2];
    if (HasAux(plan_.epilogue)) memory.aux = at(args.outputs[1], begin.d);
    memory.workspace = args.scratch;
    return memory;
  }

  absl::Status Finish(CudaStream& stream, const KernelArgs& args) const {
    FinishCall call = {.type = shape_.product.out, .activation = shape_.activation};
    call.rows = shape_.rows();
    call.columns = shape_.product.n;
    call.product = Target(args);
    if (shape_.bias && !HasBias(plan_.epilogue)) call.bias = args.inputs[2];
    if (shape_.residual && !plan_.c_is_residual) call.residual = args.inputs[3];
    if (shape_.pre) call.pre = args.outputs[1];
    call.y = args.outputs[0];
    return Launched(stream, LaunchFinish(call, stream.handle()));
  }

  absl::Status AddC(CudaStream& stream, const KernelArgs& args) const {
    AddScaledCall call = {.type = shape_.product.out, .rows = shape_.rows(), .columns = shape_.product.n};
    call.beta = shape_.beta;
    call.c = args.inputs[2];
    call.c_row = shape_.c_row;
    call.c_column = shape_.c_column;
    call.y = args.outputs[0];
    return Launched(stream, LaunchAddScaled(call, stream.handle()));
  }

  const MatMulShape shape_;
  const EpiloguePlan plan_;
  const std::unique_ptr<PreparedProduct> product_;
};

// With the planned epilogue; where the library has none of that form, with less of it and more of our own.
absl::StatusOr<std::unique_ptr<PreparedProduct>> Prepare(const Machine& machine, const MatMulShape& shape,
                                                         EpiloguePlan* plan) {
  const auto attempt = [&] {
    Product product = shape.product;
    product.epilogue = plan->epilogue;
    product.beta = plan->c_is_residual ? 1.0f : 0.0f;
    return PrepareProduct(machine, product);
  };
  auto prepared = attempt();
  if (!absl::IsUnimplemented(prepared.status())) return prepared;
  plan->finish = true;
  if (plan->epilogue != Epilogue::kBias && shape.bias) {
    plan->epilogue = Epilogue::kBias;
    prepared = attempt();
    if (!absl::IsUnimplemented(prepared.status())) return prepared;
  }
  plan->epilogue = Epilogue::kNone;
  return attempt();
}

}  // namespace

KernelOr NewMatMul(const Machine& machine, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc));
  MR_ASSIGN_OR_RETURN(MatMulShape shape, MatMulShapeOf(desc));
  EpiloguePlan plan = PlanEpilogue(shape);
  MR_ASSIGN_OR_RETURN(std::unique_ptr<PreparedProduct> product, Prepare(machine, shape, &plan));
  const KernelNeeds needs = {.scratch_bytes = WorkspaceBytes(shape.product), .algorithm = product->choice()};
  return std::make_unique<MatMulKernel>(desc.op, needs, std::move(shape), plan, std::move(product));
}

}  // namespace millrace::cuda
