#include "kernels/cpu/matmul_rows.h"

#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul_rows.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/activations-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

using HalfTag = hn::Rebind<uint16_t, FloatTag>;

HWY_INLINE FloatVec LoadUpTo(FloatTag d, const BFloat16* p, size_t count) {
  const HalfTag dh;
  HWY_ALIGN uint16_t padded[hn::MaxLanes(d)] = {};
  const bool whole = count >= hn::Lanes(d);
  if (!whole) std::memcpy(padded, p, count * sizeof(uint16_t));
  const auto bits = whole ? hn::LoadU(dh, reinterpret_cast<const uint16_t*>(p)) : hn::Load(dh, padded);
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<FloatTag>(), bits)));
}

// Rounds to nearest even; NaN keeps its upper bits and is made quiet.
HWY_INLINE void StoreUpTo(FloatVec v, FloatTag d, BFloat16* p, size_t count) {
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::RebindToSigned<FloatTag> di;
  const HalfTag dh;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
  const auto is_nan = hn::RebindMask(du, hn::Ne(v, v));
  const auto upper = hn::DemoteTo(dh, hn::BitCast(di, hn::IfThenElse(is_nan, quiet, rounded)));
  if (count >= hn::Lanes(d)) {
    hn::StoreU(upper, dh, reinterpret_cast<uint16_t*>(p));
  } else {
    HWY_ALIGN uint16_t padded[hn::MaxLanes(d)];
    hn::Store(upper, dh, padded);
    std::memcpy(p, padded, count * sizeof(uint16_t));
  }
}

template <class Function, typename T>
void Finish(const Function& function, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
            Rectangle residual, Rectangle pre, Rectangle out) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = in + i * in_stride;
    const T* more = residual.memory ? static_cast<const T*>(residual.memory) + i * residual.stride : nullptr;
    T* before = pre.memory ? static_cast<T*>(pre.memory) + i * pre.stride : nullptr;
    T* to = static_cast<T*>(out.memory) + i * out.stride;
    for (int64_t j = 0; j < columns; j += lanes) {
      const size_t count = columns - j;
      const auto x = LoadUpTo(d, from + j, count);
      auto y = function(d, x);
      if (more != nullptr) y = hn::Add(y, LoadUpTo(d, more + j, count));
      if (before != nullptr) StoreUpTo(x, d, before + j, count);
      StoreUpTo(y, d, to + j, count);
    }
  }
}

template <typename T>
void FinishAs(Activation activation, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
              Rectangle residual, Rectangle pre, Rectangle out) {
  const auto run = [&](const auto& function) {
    Finish<std::decay_t<decltype(function)>, T>(function, rows, columns, in, in_stride, residual, pre, out);
  };
  switch (activation) {
    case Activation::kNone:
      return run(NoActivation());
    case Activation::kRelu:
      return run(ReluActivation());
    case Activation::kGelu:
      return run(GeluActivation());
    case Activation::kGeluTanh:
      return run(GeluTanhActivation());
    case Activation::kSilu:
      return run(SiluActivation());
    case Activation::kTanh:
      return run(TanhActivation());
    case Activation::kSigmoid:
      return run(SigmoidActivation());
  }
}

void FinishF32(Activation activation, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
               Rectangle residual, Rectangle pre, Rectangle out) {
  FinishAs<float>(activation, rows, columns, in, in_stride, residual, pre, out);
}

void FinishBf16(Activation activation, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
                Rectangle residual, Rectangle pre, Rectangle out) {
  FinishAs<BFloat16>(activation, rows, columns, in, in_stride, residual, pre, out);
}

// Rows are added in runs first: the error grows with the length of a run, not with the number of rows.
template <typename T>
void ColumnSums(int64_t rows, int64_t columns, Rectangle y, float* sums) {
  constexpr int64_t kRun = 32;
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t begin = 0; begin < rows; begin += kRun) {
    const int64_t end = begin + kRun < rows ? begin + kRun : rows;
    for (int64_t j = 0; j < columns; j += lanes) {
      const size_t count = columns - j;
      const T* from = static_cast<const T*>(y.memory) + j;
      auto sum = hn::Zero(d);
      for (int64_t i = begin; i < end; ++i) sum = hn::Add(sum, LoadUpTo(d, from + i * y.stride, count));
      StoreUpTo(hn::Add(LoadUpTo(d, sums + j, count), sum), d, sums + j, count);
    }
  }
}

void ColumnSumsF32(int64_t rows, int64_t columns, Rectangle y, float* sums) {
  ColumnSums<float>(rows, columns, y, sums);
}
void ColumnSumsBf16(int64_t rows, int64_t columns, Rectangle y, float* sums) {
  ColumnSums<BFloat16>(rows, columns, y, sums);
}

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(FinishF32);
HWY_EXPORT(FinishBf16);
HWY_EXPORT(ColumnSumsF32);
HWY_EXPORT(ColumnSumsBf16);

void FinishRows(Activation activation, DType dtype, int64_t rows, int64_t columns, const float* in, int64_t in_stride,
                Rectangle residual, Rectangle pre, Rectangle out) {
  if (dtype == proto::BF16) {
    HWY_DYNAMIC_DISPATCH(FinishBf16)(activation, rows, columns, in, in_stride, residual, pre, out);
  } else {
    HWY_DYNAMIC_DISPATCH(FinishF32)(activation, rows, columns, in, in_stride, residual, pre, out);
  }
}

void AddColumnSums(DType dtype, int64_t rows, int64_t columns, Rectangle y, float* sums) {
  if (dtype == proto::BF16) {
    HWY_DYNAMIC_DISPATCH(ColumnSumsBf16)(rows, columns, y, sums);
  } else {
    HWY_DYNAMIC_DISPATCH(ColumnSumsF32)(rows, columns, y, sums);
  }
}

void ScaleAndAdd(int64_t rows, int64_t columns, float alpha, float* y, int64_t y_stride, float beta, const float* c,
                 int64_t c_row_stride, int64_t c_column_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    float* to = y + i * y_stride;
    if (beta == 0 || c == nullptr) {
      for (int64_t j = 0; j < columns; ++j) to[j] *= alpha;
    } else {
      for (int64_t j = 0; j < columns; ++j) {
        to[j] = alpha * to[j] + beta * c[i * c_row_stride + j * c_column_stride];
      }
    }
  }
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
