// Rotary position embedding (Su et al., "RoFormer", 2021).
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/families.h"
#include "kernels/cpu/only_dtype.h"
#include "kernels/cpu/simd_targets.h"
#include "proto/status_macros.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {
namespace {

// One head at one position: x1 and x2 are its halves.
void RotateHalves(const float* x, const float* cos, const float* sin, float sign, size_t half, float* y) {
  const FloatTag d;
  const auto direction = hn::Set(d, sign);
  for (size_t i = 0; i < half; i += hn::Lanes(d)) {
    const size_t n = half - i;
    const auto x1 = LoadUpTo(d, x + i, n), x2 = LoadUpTo(d, x + half + i, n);
    const auto c = LoadUpTo(d, cos + i, n), s = hn::Mul(direction, LoadUpTo(d, sin + i, n));
    StoreUpTo(hn::NegMulAdd(x2, s, hn::Mul(x1, c)), d, y + i, n);
    StoreUpTo(hn::MulAdd(x1, s, hn::Mul(x2, c)), d, y + half + i, n);
  }
}

// The same where x1 and x2 are neighbours.
void RotateNeighbours(const float* x, const float* cos, const float* sin, float sign, size_t half, float* y) {
  for (size_t i = 0; i < half; ++i) {
    const float x1 = x[2 * i], x2 = x[2 * i + 1], s = sign * sin[i];
    y[2 * i] = x1 * cos[i] - x2 * s;
    y[2 * i + 1] = x2 * cos[i] + x1 * s;
  }
}

}  // namespace
}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(RotateHalves);
HWY_EXPORT(RotateNeighbours);

namespace {

class RotaryKernel : public Kernel {
 public:
  explicit RotaryKernel(const OpDesc& desc)
      : Kernel({}),
        rows_(desc.input(0).rows()),
        positions_(desc.input(0).dims[1]),
        columns_(desc.input(0).columns()),
        half_(desc.input(1).columns()),
        interleaved_(desc.attributes.Int("interleaved", 0) != 0),
        sign_(desc.attributes.Int("inverse", 0) != 0 ? -1.0f : 1.0f) {}

  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const float* x = static_cast<const float*>(args.inputs[0]);
    const float* cos = static_cast<const float*>(args.inputs[1]);
    const float* sin = static_cast<const float*>(args.inputs[2]);
    float* y = static_cast<float*>(args.outputs[0]);
    ForBlocks(stream, rows_, RowsPerTask(columns_), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t angle = r % positions_ * half_;
        for (int64_t at = r * columns_; at < (r + 1) * columns_; at += 2 * half_) {
          if (interleaved_) {
            HWY_DYNAMIC_DISPATCH(RotateNeighbours)(x + at, cos + angle, sin + angle, sign_, half_, y + at);
          } else {
            HWY_DYNAMIC_DISPATCH(RotateHalves)(x + at, cos + angle, sin + angle, sign_, half_, y + at);
          }
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  const int64_t rows_, positions_, columns_, half_;
  const bool interleaved_;
  const float sign_;
};

}  // namespace

KernelOr NewRotaryEmbedding(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(OnlyDtype(desc, proto::F32));
  return std::make_unique<RotaryKernel>(desc);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
