#include "tests/conformance/kernel_case.h"

#include "absl/strings/str_cat.h"

namespace millrace {

bool IsReadToo(const OpDesc& desc, int output) {
  const std::string& op = desc.op;
  if (op == "AdamW" || op == "SgdMomentum" || op == "Accumulate" || op == "MatMulWeightGrad" || op == "GatherGrad") {
    return true;
  }
  if (op == "LayerNormalizationGrad" || op == "RMSNormalizationGrad") return output > 0;
  if (op == "LinearCrossEntropy") return output == 3;
  return op == "ReduceSumTo" && desc.attributes.Int("accumulate", 0) != 0;
}

namespace {

// Mean, InvStdDev, InvRms, Lse: f32 beside 16-bit tensors.
bool IsStatistic(const OpDesc& desc, bool is_input, int i) {
  const std::string& op = desc.op;
  if (op == "Attention" || op == "LayerNormalization" || op == "RMSNormalization") return !is_input && i > 0;
  if (op == "AttentionGrad") return is_input && i == 5;
  return is_input && ((op == "LayerNormalizationGrad" && i >= 3) || (op == "RMSNormalizationGrad" && i == 3));
}

}  // namespace

OpDesc InType(const OpDesc& desc, DType dtype) {
  OpDesc out = desc;
  // A parameter in 16 bits has its master, and all else, in f32.
  if ((desc.op == "AdamW" || desc.op == "SgdMomentum") && IsHalf(desc.output(0).dtype)) return out;
  for (int i = 0; i < static_cast<int>(out.inputs.size()); ++i) {
    const bool stays = dtype == proto::BF16 && IsStatistic(desc, /*is_input=*/true, i);
    if (out.inputs[i].dtype == proto::F32 && !stays) out.inputs[i].dtype = dtype;
  }
  for (int i = 0; i < static_cast<int>(out.outputs.size()); ++i) {
    const bool stays = dtype == proto::BF16 && (IsReadToo(desc, i) || IsStatistic(desc, /*is_input=*/false, i));
    if (out.outputs[i].dtype == proto::F32 && !stays) out.outputs[i].dtype = dtype;
  }
  if (out.op == "Cast" && out.attributes.Has("to")) out.attributes.SetInt("to", out.output(0).dtype);
  return out;
}

bool HasBFloat16Form(const OpDesc& desc) {
  return desc.op == "MatMul" || desc.op == "FusedMatMul" || desc.op == "MatMulWeightGrad" ||
         desc.op == "LinearCrossEntropy";
}

const std::vector<KernelCase>& AllKernelCases() {
  static const auto* const all = [] {
    auto* joined = new std::vector<KernelCase>();
    for (const auto& list : {cases::MatMulCases(), cases::ElementwiseCases(), cases::RowCases(),
                             cases::AttentionCases(), cases::ShapeCases(), cases::OptimizerCases()}) {
      joined->insert(joined->end(), list.begin(), list.end());
    }
    return joined;
  }();
  return *all;
}

namespace cases {

TensorSpec F(const Dims& dims) { return {proto::F32, dims}; }
TensorSpec D(const Dims& dims) { return {proto::F64, dims}; }
TensorSpec I(const Dims& dims) { return {proto::I64, dims}; }

KernelCase Case(const std::string& suffix, const std::string& op, std::vector<TensorSpec> inputs,
                std::vector<TensorSpec> outputs, const Attributes& attributes) {
  KernelCase c;
  c.name = absl::StrCat(op, "_", suffix);
  c.desc = {op, std::move(inputs), std::move(outputs), attributes};
  return c;
}

}  // namespace cases
}  // namespace millrace
