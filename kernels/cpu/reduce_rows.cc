#include "kernels/cpu/reduce_rows.h"

#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

float Sum(const float* x, size_t n) {
  const FloatTag d;
  return SumOver(d, n, [&](size_t i, size_t count) HWY_ATTR { return LoadUpTo(d, x + i, count); });
}

void Add(const float* x, size_t n, float* sum) {
  const FloatTag d;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    StoreUpTo(hn::Add(LoadUpTo(d, sum + i, n - i), LoadUpTo(d, x + i, n - i)), d, sum + i, n - i);
  }
}

void Scale(const float* x, float factor, size_t n, float* y) {
  const FloatTag d;
  const auto f = hn::Set(d, factor);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    StoreUpTo(hn::Mul(f, LoadUpTo(d, x + i, n - i)), d, y + i, n - i);
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(Sum);
HWY_EXPORT(Add);
HWY_EXPORT(Scale);

float SumRow(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(Sum)(x, n); }
void AddRow(const float* x, int64_t n, float* sum) { HWY_DYNAMIC_DISPATCH(Add)(x, n, sum); }
void ScaleRow(const float* x, float factor, int64_t n, float* y) { HWY_DYNAMIC_DISPATCH(Scale)(x, factor, n, y); }

double SumRow(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}
void AddRow(const double* x, int64_t n, double* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}
void ScaleRow(const double* x, double factor, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
