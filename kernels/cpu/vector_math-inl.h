// Vector functions for the Highway kernels: loads and stores of a first part of a vector, and exp, tanh, sigmoid, erf
// for float. Every function maps a lane to a lane: a value does not depend on where in a vector it stands. NaN gives
// NaN. Included once per instruction set.
#if defined(KERNELS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_CPU_VECTOR_MATH_INL_H_
#undef KERNELS_CPU_VECTOR_MATH_INL_H_
#else
#define KERNELS_CPU_VECTOR_MATH_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// True where masked loads and stores neither touch nor fault on the lanes left out.
inline constexpr bool kMasksMemory = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2;

// The first `count` floats at p; the other lanes are 0. count may exceed the lanes.
HWY_INLINE FloatVec LoadUpTo(FloatTag d, const float* p, size_t count) {
  const size_t lanes = hn::Lanes(d);
  if (count >= lanes) return hn::LoadU(d, p);
  if constexpr (kMasksMemory) {
    return hn::MaskedLoad(hn::FirstN(d, count), d, p);
  } else {
    HWY_ALIGN float padded[hn::MaxLanes(d)] = {};
    std::memcpy(padded, p, count * sizeof(float));
    return hn::Load(d, padded);
  }
}

HWY_INLINE void StoreUpTo(FloatVec v, FloatTag d, float* p, size_t count) {
  const size_t lanes = hn::Lanes(d);
  if (count >= lanes) {
    hn::StoreU(v, d, p);
  } else if constexpr (kMasksMemory) {
    hn::BlendedStore(v, hn::FirstN(d, count), d, p);
  } else {
    HWY_ALIGN float padded[hn::MaxLanes(d)];
    hn::Store(v, d, padded);
    std::memcpy(p, padded, count * sizeof(float));
  }
}

// e^x within 2 ULP; 0 below -86.6 (results under 2.5e-38), infinity above 88.72. Cephes' expf: x = n ln2 + r and a
// polynomial in r. Outside those bounds, and for NaN, n is meaningless: the bounds overwrite the result, NaN stays in
// r.
HWY_INLINE FloatVec Exp(FloatTag d, FloatVec x) {
  const hn::RebindToSigned<FloatTag> di;
  // 1.5 * 2^23: adding it rounds to the nearest integer and leaves that in the low bits.
  const auto shift = hn::Set(d, 12582912.0f);
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), shift);
  const auto n = hn::Sub(shifted, shift);
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4f), r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  // 2^n as 2 * 2^(n-1), because 2^128 is not a float.
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::BitCast(di, shifted), hn::Set(di, 126)));
  const auto y = hn::Mul(hn::Add(p, p), hn::BitCast(d, exponent));
  const auto capped = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.72283f)), hn::Inf(d), y);
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -86.6f)), hn::Zero(d), capped);
}

// 1 / (1 + e^-x)
HWY_INLINE FloatVec Sigmoid(FloatTag d, FloatVec x) {
  const auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

// Cephes' tanhf: an odd polynomial near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
HWY_INLINE FloatVec Tanh(FloatTag d, FloatVec x) {
  const auto one = hn::Set(d, 1.0f);
  const auto magnitude = hn::Abs(x);
  const auto far = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(Exp(d, hn::Add(magnitude, magnitude)), one)));
  const auto z = hn::Mul(x, x);
  auto p = hn::MulAdd(hn::Set(d, -5.70498872745e-3f), z, hn::Set(d, 2.06390887954e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, -5.37397155531e-2f));
  p = hn::MulAdd(p, z, hn::Set(d, 1.33314422036e-1f));
  p = hn::MulAdd(p, z, hn::Set(d, -3.33332819422e-1f));
  const auto near = hn::MulAdd(hn::Mul(p, z), x, x);
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.625f)), near, hn::CopySign(far, x));
}

// A rational approximation of odd degree 13 over even degree 8 on [-4, 4] (as in Eigen), error about 1e-7.
HWY_INLINE FloatVec Erf(FloatTag d, FloatVec x) {
  const auto c = hn::Min(hn::Set(d, 4.0f), hn::Max(hn::Set(d, -4.0f), x));
  const auto z = hn::Mul(c, c);
  auto p = hn::MulAdd(hn::Set(d, -2.72614225801306e-10f), z, hn::Set(d, 2.77068142495902e-08f));
  p = hn::MulAdd(p, z, hn::Set(d, -2.10102402082508e-06f));
  p = hn::MulAdd(p, z, hn::Set(d, -5.69250639462346e-05f));
  p = hn::MulAdd(p, z, hn::Set(d, -7.34990630326855e-04f));
  p = hn::MulAdd(p, z, hn::Set(d, -2.95459980854025e-03f));
  p = hn::MulAdd(p, z, hn::Set(d, -1.60960333262415e-02f));
  auto q = hn::MulAdd(hn::Set(d, -1.45660718464996e-05f), z, hn::Set(d, -2.13374055278905e-04f));
  q = hn::MulAdd(q, z, hn::Set(d, -1.68282697438203e-03f));
  q = hn::MulAdd(q, z, hn::Set(d, -7.37332916720468e-03f));
  q = hn::MulAdd(q, z, hn::Set(d, -1.42647390514189e-02f));
  // From 4 on exactly 1, so that x * (1 + erf(x)) vanishes for large negative x.
  const auto far = hn::Ge(hn::Abs(x), hn::Set(d, 4.0f));
  return hn::IfThenElse(far, hn::CopySign(hn::Set(d, 1.0f), x), hn::Div(hn::Mul(c, p), q));
}

// Sums term(i, count) over i = 0, lanes, 2 lanes, ... < n; term gives 0 in lanes from count on. Four running sums,
// added in a fixed order.
template <class Term>
HWY_INLINE float SumOver(FloatTag d, size_t n, const Term& term) {
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, term(i, lanes));
    s1 = hn::Add(s1, term(i + lanes, lanes));
    s2 = hn::Add(s2, term(i + 2 * lanes, lanes));
    s3 = hn::Add(s3, term(i + 3 * lanes, lanes));
  }
  for (; i < n; i += lanes) s0 = hn::Add(s0, term(i, n - i));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KERNELS_CPU_VECTOR_MATH_INL_H_
