// Products by cuBLASLt.
#ifndef KERNELS_CUDA_LT_MATMUL_H_
#define KERNELS_CUDA_LT_MATMUL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/product.h"

namespace millrace::cuda {

// One handle for the device, and one choice of algorithm per form of product: the first of the library's heuristic that
// is reproducible. Split sums go through the workspace and are added in order; nothing is measured, so the choice is
// the same in every process on this type of GPU with this version of the library. Loads the library: UNAVAILABLE.
absl::StatusOr<std::shared_ptr<MatMulLibrary>> MakeLtMatMuls(Target target);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_LT_MATMUL_H_
