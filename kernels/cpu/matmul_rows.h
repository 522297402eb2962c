// What is done to the rows of a matrix product beyond the product itself, while they are still in the cache.
#ifndef KERNELS_CPU_MATMUL_ROWS_H_
#define KERNELS_CPU_MATMUL_ROWS_H_

#include <cstdint>

#include "kernels/dtype.h"

namespace millrace::cpu {

enum class Activation { kNone, kRelu, kGelu, kGeluTanh, kSilu, kTanh, kSigmoid };

// A rectangle of a row-major matrix of F32 or BF16; null memory: absent.
struct Rectangle {
  void* memory = nullptr;
  int64_t stride = 0;  // elements between rows
};

// out = activation(in) + residual and pre = in, rounded to `dtype` (F32 or BF16), the type of all but `in`. `in` may be
// `out` or `pre` when dtype is F32.
void FinishRows(Activation activation, DType dtype, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
                Rectangle residual, Rectangle pre, Rectangle out);

// sums[j] += the sum of column j of y, which is F32 or BF16; added up in runs of rows, in order.
void AddColumnSums(DType dtype, int64_t rows, int64_t columns, Rectangle y, float* sums);

// y = alpha y + beta c; a stride of c is 0 where it repeats, beta 0 leaves c unread.
void ScaleAndAdd(int64_t rows, int64_t columns, float alpha, float* y, int64_t y_stride, float beta, const float* c,
                 int64_t c_row_stride, int64_t c_column_stride);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_MATMUL_ROWS_H_
