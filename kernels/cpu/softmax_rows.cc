#include "kernels/cpu/softmax_rows.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE float Largest(const float* x, size_t n) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const auto least = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto top = least;
  for (size_t i = 0; i < n; i += lanes) {
    auto v = LoadUpTo(d, x + i, n - i);
    if (n - i < lanes) v = hn::IfThenElse(hn::FirstN(d, n - i), v, least);
    top = hn::Max(top, v);
  }
  return hn::GetLane(hn::MaxOfLanes(d, top));
}

// Sum of exp(x - top), each term kept in y unless that is null.
HWY_INLINE float SumOfExp(const float* x, float top, float* y, size_t n) {
  const FloatTag d;
  const auto t = hn::Set(d, top);
  return SumOver(d, n, [&](size_t i, size_t count) HWY_ATTR {
    auto e = Exp(d, hn::Sub(LoadUpTo(d, x + i, count), t));
    if (y != nullptr) StoreUpTo(e, d, y + i, count);
    if (count < hn::Lanes(d)) e = hn::IfThenElseZero(hn::FirstN(d, count), e);
    return e;
  });
}

void Softmax(const float* x, float* y, size_t n) {
  const FloatTag d;
  const auto inverse = hn::Set(d, 1.0f / SumOfExp(x, Largest(x, n), y, n));
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    StoreUpTo(hn::Mul(LoadUpTo(d, y + i, n - i), inverse), d, y + i, n - i);
  }
}

void SoftmaxGrad(const float* dy, const float* y, float* dx, size_t n) {
  const FloatTag d;
  const auto dot = hn::Set(d, SumOver(d, n, [&](size_t i, size_t count) HWY_ATTR {
                             return hn::Mul(LoadUpTo(d, dy + i, count), LoadUpTo(d, y + i, count));
                           }));
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    const auto slope = hn::Sub(LoadUpTo(d, dy + i, n - i), dot);
    StoreUpTo(hn::Mul(LoadUpTo(d, y + i, n - i), slope), d, dx + i, n - i);
  }
}

double LogSumExp(const float* x, size_t n) {
  const float top = Largest(x, n);
  return top + std::log(static_cast<double>(SumOfExp(x, top, nullptr, n)));
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(Softmax);
HWY_EXPORT(SoftmaxGrad);
HWY_EXPORT(LogSumExp);

void SoftmaxRow(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(Softmax)(x, y, n); }
void SoftmaxRowGrad(const float* dy, const float* y, float* dx, int64_t n) {
  HWY_DYNAMIC_DISPATCH(SoftmaxGrad)(dy, y, dx, n);
}
double LogSumExpRow(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(LogSumExp)(x, n); }

}  // namespace millrace::cpu
#endif  // HWY_ONCE
