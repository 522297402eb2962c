// Activation functions on vectors of floats, lane by lane. Included once per instruction set, after vector_math-inl.h's
// rules.
#if defined(KERNELS_CPU_ACTIVATIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_CPU_ACTIVATIONS_INL_H_
#undef KERNELS_CPU_ACTIVATIONS_INL_H_
#else
#define KERNELS_CPU_ACTIVATIONS_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

struct NoActivation {
  HWY_INLINE FloatVec operator()(FloatTag, FloatVec x) const { return x; }
};
// max(x, 0); NaN stays NaN.
struct ReluActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);
  }
};
// x Phi(x), Phi the normal distribution (Hendrycks & Gimpel 2016).
struct GeluActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const {
    const auto half = hn::Mul(hn::Set(d, 0.5f), x);
    return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
  }
};
// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanhActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const {
    const auto cubic = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715f), x), hn::Mul(x, x), x);
    return hn::Mul(x, Sigmoid(d, hn::Mul(hn::Set(d, 1.5957691216057308f), cubic)));
  }
};
struct SiluActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const { return hn::Mul(x, Sigmoid(d, x)); }
};
struct TanhActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const { return Tanh(d, x); }
};
struct SigmoidActivation {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec x) const { return Sigmoid(d, x); }
};

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KERNELS_CPU_ACTIVATIONS_INL_H_
