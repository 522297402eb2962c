#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "kernels/axes.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "proto/status_macros.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise_binary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

struct Plus {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Add(a, b); }
};
struct Minus {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Sub(a, b); }
};
struct Times {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Mul(a, b); }
};
struct Over {
  HWY_INLINE FloatVec operator()(FloatVec a, FloatVec b) const { return hn::Div(a, b); }
};

// An operand that moves, or one value for the whole row.
struct Moving {
  const float* p;
  HWY_INLINE FloatVec operator()(FloatTag d, size_t i, size_t count) const { return LoadUpTo(d, p + i, count); }
};
struct Constant {
  float value;
  HWY_INLINE FloatVec operator()(FloatTag d, size_t, size_t) const { return hn::Set(d, value); }
};

template <class F, class A, class B>
HWY_INLINE void Row(A a, B b, float* y, size_t n) {
  const FloatTag d;
  const F f;
  for (size_t i = 0; i < n; i += hn::Lanes(d)) StoreUpTo(f(a(d, i, n - i), b(d, i, n - i)), d, y + i, n - i);
}

template <class F>
void AnyRow(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, size_t n) {
  if (a_step != 0 && b_step != 0) return Row<F>(Moving{a}, Moving{b}, y, n);
  if (a_step != 0) return Row<F>(Moving{a}, Constant{*b}, y, n);
  if (b_step != 0) return Row<F>(Constant{*a}, Moving{b}, y, n);
  Row<F>(Constant{*a}, Constant{*b}, y, n);
}

// Steps are 0 or 1.
void BinaryRow(char op, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, size_t n) {
  switch (op) {
    case 'A':
      return AnyRow<Plus>(a, a_step, b, b_step, y, n);
    case 'S':
      return AnyRow<Minus>(a, a_step, b, b_step, y, n);
    case 'M':
      return AnyRow<Times>(a, a_step, b, b_step, y, n);
    default:
      return AnyRow<Over>(a, a_step, b, b_step, y, n);
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(BinaryRow);

namespace {

void Row(char op, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n) {
  HWY_DYNAMIC_DISPATCH(BinaryRow)(op, a, a_step, b, b_step, y, n);
}

void Row(char op, const double* a, int64_t a_step, const double* b, int64_t b_step, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i, a += a_step, b += b_step) {
    y[i] = op == 'A' ? *a + *b : op == 'S' ? *a - *b : op == 'M' ? *a * *b : *a / *b;
  }
}

// The last axis is a row; both operands walk it by steps of 0 or 1.
template <typename T>
class BinaryKernel : public Kernel {
 public:
  BinaryKernel(char op, Axes axes) : Kernel({}), op_(op), axes_(std::move(axes)) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const T* a = static_cast<const T*>(args.inputs[0]);
    const T* b = static_cast<const T*>(args.inputs[1]);
    T* y = static_cast<T*>(args.outputs[0]);
    const Axis& row = axes_.back();
    const size_t outer = axes_.size() - 1;
    // Pieces of long rows, or several short rows, make one task.
    const int64_t pieces = std::max<int64_t>(1, CeilDiv(row.size, kElementsPerTask));
    ForBlocks(stream, Steps(axes_, outer) * pieces, RowsPerTask(row.size), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = i / pieces, from = i % pieces * kElementsPerTask;
        const Offsets at = OffsetsAt(axes_, outer, r);
        Row(op_, a + at.a + from * row.a, row.a, b + at.b + from * row.b, row.b, y + r * row.size + from,
            std::min(kElementsPerTask, row.size - from));
      }
    });
    return absl::OkStatus();
  }

 private:
  const char op_;
  const Axes axes_;
};

}  // namespace

KernelOr NewBinary(const OpDesc& desc) {
  const bool doubles = desc.input(0).dtype == proto::F64;
  if (!IsFloat(desc.input(0).dtype)) {
    return absl::UnimplementedError(absl::StrCat(desc.op, " on the cpu backend: input 0 is ", desc.input(0).ToString(),
                                                 "; supported are f32 and f64. Cast before it"));
  }
  MR_RETURN_IF_ERROR(OnlyDtype(desc, doubles ? proto::F64 : proto::F32));
  const std::vector<int64_t>& dims = desc.output(0).dims;
  const std::vector<int64_t> a = BroadcastStrides(desc.input(0).dims, dims);
  const std::vector<int64_t> b = BroadcastStrides(desc.input(1).dims, dims);
  Axes axes;
  for (size_t i = 0; i < dims.size(); ++i) axes.push_back({dims[i], a[i], b[i]});
  axes = Collapse(axes);
  if (doubles) return std::make_unique<BinaryKernel<double>>(desc.op[0], std::move(axes));
  return std::make_unique<BinaryKernel<float>>(desc.op[0], std::move(axes));
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
