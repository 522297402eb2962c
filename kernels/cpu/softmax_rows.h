// Softmax of one row and what follows from it.
#ifndef KERNELS_CPU_SOFTMAX_ROWS_H_
#define KERNELS_CPU_SOFTMAX_ROWS_H_

#include <cstdint>

namespace millrace::cpu {

// y = softmax(x); x and y may be the same.
void SoftmaxRow(const float* x, float* y, int64_t n);
// dx = y * (dy - sum(dy * y))
void SoftmaxRowGrad(const float* dy, const float* y, float* dx, int64_t n);
// log(sum(exp(x)))
double LogSumExpRow(const float* x, int64_t n);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_SOFTMAX_ROWS_H_
