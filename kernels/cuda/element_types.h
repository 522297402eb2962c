// The element types that a family supports, checked at preparation.
#ifndef KERNELS_CUDA_ELEMENT_TYPES_H_
#define KERNELS_CUDA_ELEMENT_TYPES_H_

#include "absl/status/status.h"
#include "kernels/cuda/element.h"
#include "kernels/op_desc.h"

namespace millrace::cuda {

inline Element ElementOf(DType dtype) { return static_cast<Element>(dtype); }
inline Element ElementOf(const TensorSpec& spec) { return ElementOf(spec.dtype); }

// UNIMPLEMENTED, naming the operand, unless all floating-point inputs and outputs are of one type out of f32, bf16 and
// f16. `skip_outputs`: outputs are not looked at, for those that accumulate in f32.
absl::Status OneFloatType(const OpDesc& desc, bool skip_outputs = false);

// UNIMPLEMENTED unless the input, whose type decides that of the others, is f32, bf16 or f16.
absl::Status CheckFloatType(const OpDesc& desc, int input);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ELEMENT_TYPES_H_
