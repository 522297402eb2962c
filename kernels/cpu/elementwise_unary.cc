#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "proto/status_macros.h"

#ifndef KERNELS_CPU_ELEMENTWISE_UNARY_CC_
#define KERNELS_CPU_ELEMENTWISE_UNARY_CC_
namespace millrace::cpu {
namespace {

enum class MapOp {
  kNeg,
  kRelu,
  kTanh,
  kSigmoid,
  kSilu,
  kGelu,
  kGeluTanh,
  kReluGrad,
  kTanhGrad,
  kSigmoidGrad,
  kSiluGrad,
  kGeluGrad,
  kGeluTanhGrad,
  kAdd,
};
using MapFunction = void (*)(const float* a, const float* b, float* y, size_t n);

}  // namespace
}  // namespace millrace::cpu
#endif  // KERNELS_CPU_ELEMENTWISE_UNARY_CC_

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise_unary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/activations-inl.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

// One operand.
struct NegOf {
  HWY_INLINE FloatVec operator()(FloatTag, FloatVec x) const { return hn::Neg(x); }
};
// Phi, the normal distribution.
HWY_INLINE FloatVec NormalCdf(FloatTag d, FloatVec x) {
  const auto half = hn::Set(d, 0.5f);
  return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
}
// 2u of the approximation x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
HWY_INLINE FloatVec TwiceU(FloatTag d, FloatVec x) {
  const auto x2 = hn::Mul(x, x);
  return hn::Mul(
      x, hn::MulAdd(x2, hn::Set(d, 2 * 0.79788456080286536f * 0.044715f), hn::Set(d, 2 * 0.79788456080286536f)));
}
// The gradient and the forward operand: X, or Y for tanh and sigmoid.
struct ReluGradOf {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec dy, FloatVec x) const {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), dy);
  }
};
struct TanhGradOf {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec dy, FloatVec y) const {
    return hn::Mul(dy, hn::NegMulAdd(y, y, hn::Set(d, 1.0f)));
  }
};
struct SigmoidGradOf {
  HWY_INLINE FloatVec operator()(FloatTag, FloatVec dy, FloatVec y) const {
    return hn::Mul(dy, hn::NegMulAdd(y, y, y));
  }
};
struct SiluGradOf {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec dy, FloatVec x) const {
    const auto s = Sigmoid(d, x);
    const auto slope = hn::MulAdd(hn::Mul(x, s), hn::Sub(hn::Set(d, 1.0f), s), s);
    return hn::Mul(dy, slope);
  }
};
struct GeluGradOf {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec dy, FloatVec x) const {
    const auto density = hn::Mul(hn::Set(d, 0.39894228040143268f), Exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f))));
    return hn::Mul(dy, hn::MulAdd(x, density, NormalCdf(d, x)));
  }
};
struct GeluTanhGradOf {
  HWY_INLINE FloatVec operator()(FloatTag d, FloatVec dy, FloatVec x) const {
    const auto s = Sigmoid(d, TwiceU(d, x));
    const auto slope = hn::MulAdd(hn::Mul(x, x), hn::Set(d, 6 * 0.79788456080286536f * 0.044715f),
                                  hn::Set(d, 2 * 0.79788456080286536f));
    return hn::Mul(dy, hn::MulAdd(hn::Mul(hn::Mul(x, slope), s), hn::Sub(hn::Set(d, 1.0f), s), s));
  }
};

struct AddOf {
  HWY_INLINE FloatVec operator()(FloatTag, FloatVec g, FloatVec a) const { return hn::Add(a, g); }
};

template <class F>
void Map1(const float* x, const float*, float* y, size_t n) {
  const FloatTag d;
  const F f;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) StoreUpTo(f(d, LoadUpTo(d, x + i, n - i)), d, y + i, n - i);
}

template <class F>
void Map2(const float* a, const float* b, float* y, size_t n) {
  const FloatTag d;
  const F f;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    StoreUpTo(f(d, LoadUpTo(d, a + i, n - i), LoadUpTo(d, b + i, n - i)), d, y + i, n - i);
  }
}

MapFunction ChooseMap(MapOp op) {
  switch (op) {
    case MapOp::kNeg:
      return Map1<NegOf>;
    case MapOp::kRelu:
      return Map1<ReluActivation>;
    case MapOp::kTanh:
      return Map1<TanhActivation>;
    case MapOp::kSigmoid:
      return Map1<SigmoidActivation>;
    case MapOp::kSilu:
      return Map1<SiluActivation>;
    case MapOp::kGelu:
      return Map1<GeluActivation>;
    case MapOp::kGeluTanh:
      return Map1<GeluTanhActivation>;
    case MapOp::kReluGrad:
      return Map2<ReluGradOf>;
    case MapOp::kTanhGrad:
      return Map2<TanhGradOf>;
    case MapOp::kSigmoidGrad:
      return Map2<SigmoidGradOf>;
    case MapOp::kSiluGrad:
      return Map2<SiluGradOf>;
    case MapOp::kGeluGrad:
      return Map2<GeluGradOf>;
    case MapOp::kGeluTanhGrad:
      return Map2<GeluTanhGradOf>;
    case MapOp::kAdd:
      return Map2<AddOf>;
  }
  return nullptr;
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(ChooseMap);

namespace {

constexpr struct {
  absl::string_view op;
  MapOp exact, approximate;  // the latter when the attribute approximate is "tanh"
} kMaps[] = {
    {"Neg", MapOp::kNeg, MapOp::kNeg},
    {"Relu", MapOp::kRelu, MapOp::kRelu},
    {"Tanh", MapOp::kTanh, MapOp::kTanh},
    {"Sigmoid", MapOp::kSigmoid, MapOp::kSigmoid},
    {"Silu", MapOp::kSilu, MapOp::kSilu},
    {"Gelu", MapOp::kGelu, MapOp::kGeluTanh},
    {"ReluGrad", MapOp::kReluGrad, MapOp::kReluGrad},
    {"TanhGrad", MapOp::kTanhGrad, MapOp::kTanhGrad},
    {"SigmoidGrad", MapOp::kSigmoidGrad, MapOp::kSigmoidGrad},
    {"SiluGrad", MapOp::kSiluGrad, MapOp::kSiluGrad},
    {"GeluGrad", MapOp::kGeluGrad, MapOp::kGeluTanhGrad},
};

// One or two operands of one shape.
class MapKernel : public Kernel {
 public:
  MapKernel(MapFunction map, int64_t elements, bool two) : Kernel({}), map_(map), elements_(elements), two_(two) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const float* a = static_cast<const float*>(args.inputs[0]);
    const float* b = two_ ? static_cast<const float*>(args.inputs[1]) : a;
    float* y = static_cast<float*>(args.outputs[0]);
    ForBlocks(stream, elements_, kElementsPerTask,
              [&](int64_t begin, int64_t end) { map_(a + begin, b + begin, y + begin, end - begin); });
    return absl::OkStatus();
  }

 private:
  const MapFunction map_;
  const int64_t elements_;
  const bool two_;
};

class AccumulateKernel : public Kernel {
 public:
  AccumulateKernel(bool doubles, int64_t elements)
      : Kernel({}), add_(HWY_DYNAMIC_DISPATCH(ChooseMap)(MapOp::kAdd)), doubles_(doubles), elements_(elements) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    ForBlocks(stream, elements_, kElementsPerTask, [&](int64_t begin, int64_t end) {
      if (doubles_) {
        const double* g = static_cast<const double*>(args.inputs[0]);
        double* a = static_cast<double*>(args.outputs[0]);
        for (int64_t i = begin; i < end; ++i) a[i] += g[i];
      } else {
        float* a = static_cast<float*>(args.outputs[0]) + begin;
        add_(static_cast<const float*>(args.inputs[0]) + begin, a, a, end - begin);
      }
    });
    return absl::OkStatus();
  }

 private:
  const MapFunction add_;
  const bool doubles_;
  const int64_t elements_;
};

}  // namespace

KernelOr NewUnary(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  const bool approximate = desc.attributes.String("approximate", "none") == "tanh";
  for (const auto& map : kMaps) {
    if (map.op != desc.op) continue;
    return std::make_unique<MapKernel>(HWY_DYNAMIC_DISPATCH(ChooseMap)(approximate ? map.approximate : map.exact),
                                       desc.output(0).elements(), desc.inputs.size() > 1);
  }
  return absl::NotFoundError(absl::StrCat("'", desc.op, "' is no elementwise operator"));
}

KernelOr NewAccumulate(const OpDesc& desc) {
  const bool doubles = desc.input(0).dtype == proto::F64;
  MR_RETURN_IF_ERROR(OnlyDtype(desc, doubles ? proto::F64 : proto::F32));
  return std::make_unique<AccumulateKernel>(doubles, desc.output(0).elements());
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
