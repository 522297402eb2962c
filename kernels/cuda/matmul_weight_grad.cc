// MatMulWeightGrad: dB += A' dY, or its transpose, by one product that adds into float32; dBias by column sums.
#include <utility>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_kernel.h"
#include "kernels/cuda/element_types.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.h"

namespace millrace::cuda {
namespace {

class WeightGradKernel : public CudaKernel {
 public:
  WeightGradKernel(KernelNeeds needs, const Product& form, bool transposed, ColumnSumsCall bias,
                   std::unique_ptr<PreparedProduct> product)
      : CudaKernel("MatMulWeightGrad", std::move(needs)),
        form_(form),
        transposed_(transposed),
        bias_(bias),
        product_(std::move(product)) {}

 protected:
  absl::Status Launch(CudaStream& stream, const KernelArgs& args) const override {
    if (form_.k == 0) return absl::OkStatus();  // no rows: nothing to add
    if (!form_.empty()) {
      ProductMemory memory;
      memory.a = args.inputs[transposed_ ? 1 : 0];
      memory.b = args.inputs[transposed_ ? 0 : 1];
      memory.c = memory.d = args.outputs[0];
      memory.workspace = args.scratch;
      MR_RETURN_IF_ERROR(product_->Run(stream, memory));
    }
    if (bias_.columns == 0) return absl::OkStatus();
    ColumnSumsCall bias = bias_;  // after the product, on the same stream: the scratch is free again
    bias.x = args.inputs[1];
    bias.partial = static_cast<float*>(args.scratch);
    bias.sums = Out<float>(args, 1);
    return Launched(stream, LaunchColumnSums(bias, stream.handle()));
  }

 private:
  const Product form_;
  const bool transposed_;
  const ColumnSumsCall bias_;  // no columns: no dBias
  const std::unique_ptr<PreparedProduct> product_;
};

}  // namespace

KernelOr NewMatMulWeightGrad(const Machine& machine, const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OneFloatType(desc, /*skip_outputs=*/true));
  const bool transposed = desc.attributes.Int("transB", 0) != 0;
  const TensorSpec& left = desc.input(transposed ? 1 : 0);
  const TensorSpec& right = desc.input(transposed ? 0 : 1);
  Product form;
  form.m = left.columns();
  form.n = right.columns();
  form.k = left.rows();
  form.trans_a = true;
  form.lda = form.m;
  form.ldb = form.ldd = form.n;
  form.in = ElementOf(left);
  form.out = Element::kF32;
  form.beta = 1;
  MR_ASSIGN_OR_RETURN(std::unique_ptr<PreparedProduct> product, PrepareProduct(machine, form));
  ColumnSumsCall bias = {.type = form.in};
  if (desc.output(1).present()) {
    bias.rows = form.k;
    bias.columns = desc.input(1).columns();
  }
  const uint64_t sums = ColumnSumsScratch(bias.rows, bias.columns);
  const KernelNeeds needs = {.scratch_bytes = std::max(WorkspaceBytes(form), sums),
                             .algorithm = product->choice()};
  return std::make_unique<WeightGradKernel>(needs, form, transposed, bias, std::move(product));
}

}  // namespace millrace::cuda
