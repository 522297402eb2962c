#include "kernels/cpu/normalization_rows.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/normalization_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

// Sum of (x - mean)^2.
HWY_INLINE float SquaredDeviation(const float* x, float mean, size_t n) {
  const FloatTag d;
  const auto m = hn::Set(d, mean);
  return SumOver(d, n, [&](size_t i, size_t count) HWY_ATTR {
    auto c = hn::Sub(LoadUpTo(d, x + i, count), m);
    if (count < hn::Lanes(d)) c = hn::IfThenElseZero(hn::FirstN(d, count), c);
    return hn::Mul(c, c);
  });
}

HWY_INLINE float Sum(const float* x, size_t n) {
  const FloatTag d;
  return SumOver(d, n, [&](size_t i, size_t count) HWY_ATTR { return LoadUpTo(d, x + i, count); });
}

void Forward(const NormalizationForward& f, int64_t rows) {
  const FloatTag d;
  const size_t n = f.columns, lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = f.x + r * n;
    float* y = f.y + r * n;
    const float mean = f.centred ? Sum(x, n) / static_cast<float>(n) : 0.0f;
    const float inverse = 1.0f / std::sqrt(SquaredDeviation(x, mean, n) / static_cast<float>(n) + f.epsilon);
    const auto m = hn::Set(d, mean), s = hn::Set(d, inverse);
    for (size_t i = 0; i < n; i += lanes) {
      const auto scale = LoadUpTo(d, f.scale + i, n - i);
      const auto normal = hn::Mul(hn::Sub(LoadUpTo(d, x + i, n - i), m), s);
      const auto bias = f.bias != nullptr ? LoadUpTo(d, f.bias + i, n - i) : hn::Zero(d);
      StoreUpTo(hn::MulAdd(normal, scale, bias), d, y + i, n - i);
    }
    if (f.mean != nullptr) f.mean[r] = mean;
    if (f.inverse != nullptr) f.inverse[r] = inverse;
  }
}

// One column: what is left of g - h * (g h) is less than the rounding of its terms in float.
void BackwardOfOneColumn(const NormalizationBackward& b, int64_t rows) {
  double dscale = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const double inverse = b.inverse[r], h = b.x[r] * inverse, g = static_cast<double>(b.dy[r]) * b.scale[0];
    b.dx[r] = static_cast<float>(inverse * (g - h * (g * h)));
    dscale += b.dy[r] * h;
  }
  if (b.dscale != nullptr) *b.dscale = static_cast<float>(dscale);
}

// With g = dy * scale and the normalised row h: dx = inverse * (g - mean(g) - h * mean(g h)); mean(g) only when
// centred.
void Backward(const NormalizationBackward& b, int64_t rows) {
  const FloatTag d;
  const size_t n = b.columns, lanes = hn::Lanes(d);
  if (n == 1 && !b.centred) return BackwardOfOneColumn(b, rows);
  if (b.dscale != nullptr) std::memset(b.dscale, 0, n * sizeof(float));
  if (b.dbias != nullptr) std::memset(b.dbias, 0, n * sizeof(float));
  const auto per_column = hn::Set(d, 1.0f / static_cast<float>(n));
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = b.x + r * n;
    const float* dy = b.dy + r * n;
    float* dx = b.dx + r * n;
    const auto m = hn::Set(d, b.centred ? b.mean[r] : 0.0f), s = hn::Set(d, b.inverse[r]);
    auto g0 = hn::Zero(d), g1 = hn::Zero(d), gh0 = hn::Zero(d), gh1 = hn::Zero(d);
    const auto sums = [&](size_t i, FloatVec& g_sum, FloatVec& gh_sum) HWY_ATTR {
      const auto g = hn::Mul(LoadUpTo(d, dy + i, n - i), LoadUpTo(d, b.scale + i, n - i));
      const auto h = hn::Mul(hn::Sub(LoadUpTo(d, x + i, n - i), m), s);
      g_sum = hn::Add(g_sum, g);
      gh_sum = hn::MulAdd(g, h, gh_sum);
    };
    size_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
      sums(i, g0, gh0);
      sums(i + lanes, g1, gh1);
    }
    for (; i < n; i += lanes) sums(i, g0, gh0);
    const auto mean_g = b.centred ? hn::Mul(hn::SumOfLanes(d, hn::Add(g0, g1)), per_column) : hn::Zero(d);
    const auto mean_gh = hn::Mul(hn::SumOfLanes(d, hn::Add(gh0, gh1)), per_column);
    for (i = 0; i < n; i += lanes) {
      const auto up = LoadUpTo(d, dy + i, n - i);
      const auto h = hn::Mul(hn::Sub(LoadUpTo(d, x + i, n - i), m), s);
      const auto g = hn::Mul(up, LoadUpTo(d, b.scale + i, n - i));
      if (b.dscale != nullptr) {
        StoreUpTo(hn::MulAdd(up, h, LoadUpTo(d, b.dscale + i, n - i)), d, b.dscale + i, n - i);
      }
      if (b.dbias != nullptr) StoreUpTo(hn::Add(up, LoadUpTo(d, b.dbias + i, n - i)), d, b.dbias + i, n - i);
      StoreUpTo(hn::Mul(s, hn::NegMulAdd(h, mean_gh, hn::Sub(g, mean_g))), d, dx + i, n - i);
    }
  }
}

void Add(const float* parts, int64_t count, int64_t stride, int64_t begin, int64_t end, float* to) {
  const FloatTag d;
  for (int64_t c = begin; c < end; c += hn::Lanes(d)) {
    auto sum = LoadUpTo(d, parts + c, end - c);
    for (int64_t p = 1; p < count; ++p) sum = hn::Add(sum, LoadUpTo(d, parts + p * stride + c, end - c));
    StoreUpTo(hn::Add(LoadUpTo(d, to + c, end - c), sum), d, to + c, end - c);
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(Forward);
HWY_EXPORT(Backward);
HWY_EXPORT(Add);

void NormalizeRows(const NormalizationForward& call, int64_t rows) { HWY_DYNAMIC_DISPATCH(Forward)(call, rows); }

void NormalizeRowsGrad(const NormalizationBackward& call, int64_t rows) { HWY_DYNAMIC_DISPATCH(Backward)(call, rows); }

void AddParts(const float* parts, int64_t count, int64_t stride, int64_t begin, int64_t end, float* accumulator) {
  HWY_DYNAMIC_DISPATCH(Add)(parts, count, stride, begin, end, accumulator);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
