// What MatMul, Gemm and FusedMatMul ask for, as products and what follows them. Pure.
#ifndef KERNELS_CUDA_MATMUL_SHAPE_H_
#define KERNELS_CUDA_MATMUL_SHAPE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/scalar_math.h"
#include "kernels/op_desc.h"

namespace millrace::cuda {

// Products of one form, one library call each; a call is itself a batch where the matrices lie at even distances.
struct MatMulShape {
  Product product;  // without epilogue
  // Where each call's matrices begin, in elements; at least one.
  struct Begin {
    int64_t a = 0, b = 0, d = 0;
  };
  std::vector<Begin> calls;
  MapOp activation = MapOp::kIdentity;
  bool bias = false, residual = false, pre = false;
  // Gemm's C, where it is not a whole residual or bias: y += beta c.
  bool scaled_c = false;
  float beta = 0;
  int64_t c_row = 0, c_column = 0;

  int64_t rows() const { return product.m * product.batch * static_cast<int64_t>(calls.size()); }
};

// UNIMPLEMENTED for a broadcast that would take very many calls.
absl::StatusOr<MatMulShape> MatMulShapeOf(const OpDesc& desc);

// The epilogue that does all that follows the product, or as much as one can: then, `finish` is what remains to be
// done.
struct EpiloguePlan {
  Epilogue epilogue = Epilogue::kNone;
  bool c_is_residual = false;  // beta = 1, C = residual
  bool finish = false;         // activation, residual and pre by LaunchFinish; the bias too unless HasBias(epilogue)
};
EpiloguePlan PlanEpilogue(const MatMulShape& shape);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_MATMUL_SHAPE_H_
