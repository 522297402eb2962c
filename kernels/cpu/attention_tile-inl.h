// Moving rows of heads into tiles and back. Included once per instruction set.
#if defined(KERNELS_CPU_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_CPU_ATTENTION_TILE_INL_H_
#undef KERNELS_CPU_ATTENTION_TILE_INL_H_
#else
#define KERNELS_CPU_ATTENTION_TILE_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/attention_shape.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Rows of `dim` floats to rows of `padded`, zeros after them.
HWY_INLINE void PackRows(const float* from, int64_t from_row, int64_t rows, int64_t dim, float* to, int64_t padded) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(to + r * padded, from + r * from_row, dim * sizeof(float));
    std::memset(to + r * padded + dim, 0, (padded - dim) * sizeof(float));
  }
}

HWY_INLINE void UnpackRows(const float* from, int64_t padded, int64_t rows, int64_t dim, float* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * to_row, from + r * padded, dim * sizeof(float));
}

// to [padded_dim][kAttentionTile] = factor * (rows of a tile)'; columns from `rows` on are 0. `from` is padded.
HWY_INLINE void TransposeTile(const float* from, int64_t rows, int64_t padded, float factor, float* to) {
  int64_t r = 0;
#if HWY_TARGET != HWY_SCALAR  // whose vectors have one lane and no order to change
  const hn::Full128<float> d;
  const auto f = hn::Set(d, factor);
  for (; r + 4 <= rows; r += 4) {
    const float* row = from + r * padded;
    for (int64_t c = 0; c < padded; c += 4) {
      const auto r0 = hn::LoadU(d, row + c), r1 = hn::LoadU(d, row + padded + c);
      const auto r2 = hn::LoadU(d, row + 2 * padded + c), r3 = hn::LoadU(d, row + 3 * padded + c);
      const auto low01 = hn::InterleaveLower(d, r0, r1), low23 = hn::InterleaveLower(d, r2, r3);
      const auto high01 = hn::InterleaveUpper(d, r0, r1), high23 = hn::InterleaveUpper(d, r2, r3);
      float* out = to + c * kAttentionTile + r;
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, low23, low01)), d, out);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, low23, low01)), d, out + kAttentionTile);
      hn::StoreU(hn::Mul(f, hn::ConcatLowerLower(d, high23, high01)), d, out + 2 * kAttentionTile);
      hn::StoreU(hn::Mul(f, hn::ConcatUpperUpper(d, high23, high01)), d, out + 3 * kAttentionTile);
    }
  }
#endif
  for (; r < kAttentionTile; ++r) {
    for (int64_t c = 0; c < padded; ++c) to[c * kAttentionTile + r] = r < rows ? factor * from[r * padded + c] : 0.0f;
  }
}

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KERNELS_CPU_ATTENTION_TILE_INL_H_
