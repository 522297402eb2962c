// Which family makes the kernels of which operator.
#ifndef KERNELS_CUDA_OP_TABLE_H_
#define KERNELS_CUDA_OP_TABLE_H_

#include "absl/types/span.h"
#include "kernels/cuda/families.h"

namespace millrace::cuda {

absl::Span<const OpFamily> OpTable();

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_OP_TABLE_H_
