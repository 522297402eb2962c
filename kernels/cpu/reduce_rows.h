// The inner loops of sums, in float by vectors and in double one by one.
#ifndef KERNELS_CPU_REDUCE_ROWS_H_
#define KERNELS_CPU_REDUCE_ROWS_H_

#include <cstdint>

namespace millrace::cpu {

float SumRow(const float* x, int64_t n);
double SumRow(const double* x, int64_t n);
void AddRow(const float* x, int64_t n, float* sum);  // sum[i] += x[i]
void AddRow(const double* x, int64_t n, double* sum);
void ScaleRow(const float* x, float factor, int64_t n, float* y);  // y[i] = factor * x[i]
void ScaleRow(const double* x, double factor, int64_t n, double* y);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_REDUCE_ROWS_H_
