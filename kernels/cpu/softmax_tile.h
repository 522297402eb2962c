// A softmax over rows that are computed a tile of columns at a time (Milakov & Gimelshein, "Online normalizer
// calculation for softmax", 2018).
#ifndef KERNELS_CPU_SOFTMAX_TILE_H_
#define KERNELS_CPU_SOFTMAX_TILE_H_

#include <cstdint>

namespace millrace::cpu {

// For each row i: largest[i * stride] = max of the row, the row becomes exp(row - max), sums[i * stride] = its sum.
// Rows of the tile are tile_stride elements apart. columns >= 1.
void ExpOfTile(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, float* largest, float* sums,
               int64_t stride);

// Multiplies row i by factors[i * stride].
void ScaleTile(int64_t rows, int64_t columns, float* tile, int64_t tile_stride, const float* factors, int64_t stride);

}  // namespace millrace::cpu

#endif  // KERNELS_CPU_SOFTMAX_TILE_H_
