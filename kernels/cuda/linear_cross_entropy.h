// How LinearCrossEntropy is divided: chunk, products, scratch. Pure.
#ifndef KERNELS_CUDA_LINEAR_CROSS_ENTROPY_H_
#define KERNELS_CUDA_LINEAR_CROSS_ENTROPY_H_

#include <cstdint>

#include "kernels/cuda/product.h"
#include "kernels/op_desc.h"

namespace millrace::cuda {

// Scores of a chunk, at most: half a gigabyte in 16 bits. Long chunks keep the products at their best rate and add to
// the weight's gradient seldom.
inline constexpr int64_t kScoresPerChunk = int64_t{1} << 28;
inline constexpr int64_t kChunkUnit = 128;  // rows; chunks begin at multiples of it

struct LinearCrossEntropySizes {
  Element type;
  int64_t rows, width, classes;  // X [rows, width]; Weight [classes, width], or the other way round
  int64_t chunk;                 // rows of a chunk; the last may have fewer
  int64_t ld;                    // elements from one row of scores to the next: whole 16-byte accesses
  bool trans_b, input_gradient, weight_gradient;
};
LinearCrossEntropySizes SizesOf(const OpDesc& desc);

// Of a chunk of `rows`.
Product ScoresProduct(const LinearCrossEntropySizes& sizes, int64_t rows);
Product InputGradientProduct(const LinearCrossEntropySizes& sizes, int64_t rows);
Product WeightGradientProduct(const LinearCrossEntropySizes& sizes, int64_t rows);

// Offsets in bytes.
struct LinearCrossEntropyScratch {
  explicit LinearCrossEntropyScratch(const LinearCrossEntropySizes& sizes);
  uint64_t scores, losses, workspace, total;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_LINEAR_CROSS_ENTROPY_H_
