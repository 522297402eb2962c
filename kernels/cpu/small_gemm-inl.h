// A dense matrix product for tiles that lie in the first- and second-level caches: the inner loops of attention.
// Included once per instruction set.
//
// Every element of C is one chain of fused multiply-adds over k in ascending order, whatever block it falls into: its
// value does not depend on the tile's shape.
#if defined(KERNELS_CPU_SMALL_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_CPU_SMALL_GEMM_INL_H_
#undef KERNELS_CPU_SMALL_GEMM_INL_H_
#else
#define KERNELS_CPU_SMALL_GEMM_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A matrix read one element at a time: element (m, k) at data[m * row + k * column]. So a transpose is free.
struct LeftMatrix {
  const float* data;
  int64_t row, column;
};

// Rows x (Vectors * lanes) elements of C stay in registers while k runs.
template <bool kAdd, int kRows, int kVectors>
HWY_INLINE void GemmBlock(int64_t depth, LeftMatrix a, const float* HWY_RESTRICT b, int64_t b_row,
                          float* HWY_RESTRICT c, int64_t c_row) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<decltype(d)> sum[kRows][kVectors];
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = kAdd ? hn::LoadU(d, c + r * c_row + v * lanes) : hn::Zero(d);
  }
  for (int64_t k = 0; k < depth; ++k) {
    hn::Vec<decltype(d)> right[kVectors];
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + k * b_row + v * lanes);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const auto left = hn::Set(d, a.data[r * a.row + k * a.column]);
      HWY_UNROLL(8)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(left, right[v], sum[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, c + r * c_row + v * lanes);
  }
}

// All rows of one panel of kVectors vectors of columns.
template <bool kAdd, int kRows, int kVectors>
HWY_INLINE void GemmPanel(int64_t rows, int64_t depth, LeftMatrix a, const float* b, int64_t b_row, float* c,
                          int64_t c_row) {
  int64_t m = 0;
  for (; m + kRows <= rows; m += kRows) {
    GemmBlock<kAdd, kRows, kVectors>(depth, {a.data + m * a.row, a.row, a.column}, b, b_row, c + m * c_row, c_row);
  }
  for (; m + 2 <= rows; m += 2) {
    GemmBlock<kAdd, 2, kVectors>(depth, {a.data + m * a.row, a.row, a.column}, b, b_row, c + m * c_row, c_row);
  }
  for (; m < rows; ++m) {
    GemmBlock<kAdd, 1, kVectors>(depth, {a.data + m * a.row, a.row, a.column}, b, b_row, c + m * c_row, c_row);
  }
}

// C [rows, columns] = A [rows, depth] B [depth, columns], added to C when kAdd. `columns` is rounded up to whole
// vectors: the rows of B and C must reach that far (b_row and c_row are their strides in elements). C overlaps neither
// A nor B.
template <bool kAdd>
HWY_NOINLINE void SmallGemm(int64_t rows, int64_t columns, int64_t depth, LeftMatrix a, const float* b, int64_t b_row,
                            float* c, int64_t c_row) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t n = 0;
  // 32 registers hold 4 x 4 sums and their operands; 16 registers hold 4 x 2.
  if constexpr (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL) {
    for (; n + 3 * lanes < columns; n += 4 * lanes) {
      GemmPanel<kAdd, 4, 4>(rows, depth, a, b + n, b_row, c + n, c_row);
    }
  }
  for (; n + lanes < columns; n += 2 * lanes) {
    GemmPanel<kAdd, 4, 2>(rows, depth, a, b + n, b_row, c + n, c_row);
  }
  for (; n < columns; n += lanes) {
    GemmPanel<kAdd, 4, 1>(rows, depth, a, b + n, b_row, c + n, c_row);
  }
}

}  // namespace millrace::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KERNELS_CPU_SMALL_GEMM_INL_H_
