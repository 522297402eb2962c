// Sums of several vectors in a fixed order.
#ifndef RUNTIME_COMM_SUM_H_
#define RUNTIME_COMM_SUM_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/dtype.h"

namespace millrace {

bool HasSum(DType dtype);

// out = ((operands[0] + operands[1]) + operands[2]) + ..., element by element; bf16 and f16 in f32 with one rounding at
// the end, integers modulo 2^n. `out` may be one of the operands. HasSum(dtype), at least one operand.
void SumInOrder(DType dtype, absl::Span<const void* const> operands, void* out, uint64_t count);

}  // namespace millrace

#endif  // RUNTIME_COMM_SUM_H_
