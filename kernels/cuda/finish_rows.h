// What follows a product that its epilogue cannot do: bias, activation, residual, or Gemm's C of any shape.
#ifndef KERNELS_CUDA_FINISH_ROWS_H_
#define KERNELS_CUDA_FINISH_ROWS_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/scalar_math.h"

namespace millrace::cuda {

// x = product + bias; pre = x; y = f(x) + residual. `product` may be `pre` or `y`. Null: absent.
struct FinishCall {
  Element type;
  MapOp activation = MapOp::kIdentity;
  int64_t rows = 0, columns = 0;
  const void* product = nullptr;
  const void* bias = nullptr;
  const void* residual = nullptr;
  void* pre = nullptr;
  void* y = nullptr;
};
Code LaunchFinish(const FinishCall& call, StreamHandle stream);

// y += beta * c, c read with strides of 0 where it repeats.
struct AddScaledCall {
  Element type;
  int64_t rows = 0, columns = 0;
  float beta = 1;
  const void* c = nullptr;
  int64_t c_row = 0, c_column = 0;
  void* y = nullptr;
};
Code LaunchAddScaled(const AddScaledCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_FINISH_ROWS_H_
