// The refusal of element types that a kernel is not written for.
#ifndef KERNELS_CPU_ONLY_DTYPE_H_
#define KERNELS_CPU_ONLY_DTYPE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/op_desc.h"

namespace millrace::cpu {

// UNIMPLEMENTED, naming the operand, unless all floating-point inputs and outputs are `dtype`. `skip_outputs`: outputs
// are not looked at.
inline absl::Status OnlyDtype(const OpDesc& desc, DType dtype, bool skip_outputs = false) {
  const auto check = [&](const char* what, int i, const TensorSpec& spec) {
    if (!IsFloat(spec.dtype) || spec.dtype == dtype) return absl::OkStatus();
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cpu backend: ", what, " ", i, " is ",
                                                 spec.ToString(), "; supported is ", absl::string_view(Name(dtype)),
                                                 ". Use the reference backend, or Cast before it"));
  };
  for (int i = 0; i < desc.inputs.size(); ++i) {
    if (absl::Status s = check("input", i, desc.inputs[i]); !s.ok()) return s;
  }
  for (int i = 0; i < desc.outputs.size() && !skip_outputs; ++i) {
    if (absl::Status s = check("output", i, desc.outputs[i]); !s.ok()) return s;
  }
  return absl::OkStatus();
}

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_ONLY_DTYPE_H_
