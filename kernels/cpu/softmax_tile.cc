#include "kernels/cpu/softmax_tile.h"

#include "kernels/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_tile.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

// Two running maxima hide the latency of one.
HWY_INLINE float LargestOf(FloatTag d, const float* row, int64_t columns) {
  const int64_t lanes = hn::Lanes(d);
  auto m0 = hn::Set(d, row[0]), m1 = m0;
  int64_t j = 0;
  for (; j + 2 * lanes <= columns; j += 2 * lanes) {
    m0 = hn::Max(m0, hn::LoadU(d, row + j));
    m1 = hn::Max(m1, hn::LoadU(d, row + j + lanes));
  }
  for (; j < columns; j += lanes) {
    const size_t count = columns - j;
    const auto inside = hn::FirstN(d, count);
    m0 = hn::Max(m0, hn::IfThenElse(inside, LoadUpTo(d, row + j, count), m0));
  }
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1)));
}

void Exponentials(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, float* largest, float* sums,
                  int64_t stride) {
  const FloatTag d;
  for (int64_t i = 0; i < rows; ++i) {
    float* row = tile + i * tile_stride;
    const float most = LargestOf(d, row, columns);
    const auto shift = hn::Set(d, most);
    largest[i * stride] = most;
    sums[i * stride] = SumOver(d, columns, [&](size_t j, size_t count) HWY_ATTR {
      const auto e = Exp(d, hn::Sub(LoadUpTo(d, row + j, count), shift));
      StoreUpTo(e, d, row + j, count);
      return hn::IfThenElseZero(hn::FirstN(d, count), e);
    });
  }
}

void Scale(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, const float* factors, int64_t stride) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t i = 0; i < rows; ++i) {
    float* row = tile + i * tile_stride;
    const auto factor = hn::Set(d, factors[i * stride]);
    for (int64_t j = 0; j < columns; j += lanes) {
      const size_t count = columns - j;
      StoreUpTo(hn::Mul(factor, LoadUpTo(d, row + j, count)), d, row + j, count);
    }
  }
}

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::cpu {

HWY_EXPORT(Exponentials);
HWY_EXPORT(Scale);

void ExpOfTile(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, float* largest, float* sums,
               int64_t stride) {
  HWY_DYNAMIC_DISPATCH(Exponentials)(rows, columns, tile, tile_stride, largest, sums, stride);
}

void ScaleTile(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, const float* factors, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(Scale)(rows, columns, tile, tile_stride, factors, stride);
}

}  // namespace millrace::cpu
#endif  // HWY_ONCE
