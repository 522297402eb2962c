// What every operator demands of its inputs, outputs and attributes, in one place for all backends and for the
// verifier.
#ifndef KERNELS_OP_RULES_H_
#define KERNELS_OP_RULES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/op_desc.h"

namespace millrace {

// Is this a name of docs/operators.md?
bool IsKnownOp(absl::string_view op);

// INVALID_ARGUMENT names the operator, the input, output or attribute at fault, what it is and what it must be.
// Shapes are checked by the operator's own rule (not only counts), so a desc that passes is safe to run: no kernel
// reads or writes outside its operands. NOT_FOUND for an unknown operator.
absl::Status CheckOp(const OpDesc& desc);

}  // namespace millrace

#endif  // KERNELS_OP_RULES_H_
