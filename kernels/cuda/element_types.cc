#include "kernels/cuda/element_types.h"

#include "absl/strings/str_cat.h"

namespace millrace::cuda {

static_assert(static_cast<int>(Element::kF32) == proto::F32 && static_cast<int>(Element::kF64) == proto::F64 &&
              static_cast<int>(Element::kBF16) == proto::BF16 && static_cast<int>(Element::kF16) == proto::F16 &&
              static_cast<int>(Element::kI32) == proto::I32 && static_cast<int>(Element::kI64) == proto::I64 &&
              static_cast<int>(Element::kU8) == proto::U8 && static_cast<int>(Element::kBool) == proto::BOOL);

absl::Status OneFloatType(const OpDesc& desc, bool skip_outputs) {
  const DType dtype = desc.input(0).dtype;
  const bool computes = dtype == proto::F32 || dtype == proto::BF16 || dtype == proto::F16;
  const auto check = [&](const char* what, int i, const TensorSpec& spec) {
    if (!IsFloat(spec.dtype) || (computes && spec.dtype == dtype)) return absl::OkStatus();
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: ", what, " ", i, " is ",
                                                 spec.ToString(),
                                                 "; floats must be of one type, f32, bf16 or f16. Cast before it"));
  };
  for (int i = 0; i < static_cast<int>(desc.inputs.size()); ++i) {
    if (absl::Status s = check("input", i, desc.inputs[i]); !s.ok()) return s;
  }
  for (int i = 0; i < static_cast<int>(desc.outputs.size()) && !skip_outputs; ++i) {
    if (absl::Status s = check("output", i, desc.outputs[i]); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status CheckFloatType(const OpDesc& desc, int input) {
  const DType dtype = desc.input(input).dtype;
  if (dtype == proto::F32 || dtype == proto::BF16 || dtype == proto::F16) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(desc.op, " on the cuda backend: input ", input, " is ",
                                               desc.input(input).ToString(), "; f32, bf16 and f16 are supported"));
}

}  // namespace millrace::cuda
