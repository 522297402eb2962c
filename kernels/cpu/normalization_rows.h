// The two passes of layer and root-mean-square normalisation over a range of rows.
#ifndef KERNELS_CPU_NORMALIZATION_ROWS_H_
#define KERNELS_CPU_NORMALIZATION_ROWS_H_

#include <cstdint>

namespace millrace::cpu {

// x, y: [rows, columns]; scale, bias: [columns]; mean, inverse: [rows]. Addresses of the first row.
struct NormalizationForward {
  const float *x, *scale, *bias;  // bias may be null
  float *y, *mean, *inverse;      // mean and inverse may be null
  int64_t columns;
  float epsilon;
  bool centred;  // layer normalisation; false: root mean square, mean and bias are not touched
};
struct NormalizationBackward {
  const float *dy, *x, *scale, *mean, *inverse;  // mean only when centred
  float* dx;
  float *dscale, *dbias;  // [columns], overwritten with this range's sums over rows; either may be null
  int64_t columns;
  bool centred;
};

void NormalizeRows(const NormalizationForward& call, int64_t rows);
void NormalizeRowsGrad(const NormalizationBackward& call, int64_t rows);
// accumulator[begin, end) += ((parts[0] + parts[1]) + parts[2]) + ..., parts `stride` floats apart.
void AddParts(const float* parts, int64_t count, int64_t stride, int64_t begin, int64_t end, float* accumulator);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_NORMALIZATION_ROWS_H_
