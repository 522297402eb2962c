// Transpose: any permutation of the axes, of elements of 1, 2, 4 or 8 bytes.
#ifndef KERNELS_CUDA_TRANSPOSE_H_
#define KERNELS_CUDA_TRANSPOSE_H_

#include <cstdint>

#include "kernels/cuda/cuda_api.h"
#include "kernels/cuda/walk.h"

namespace millrace::cuda {

// The tile through which a block turns a piece of two axes.
inline constexpr int kTile = 32;

struct TransposeCall {
  int element_bytes = 4;
  // The axes of y, collapsed; a and b: strides of x and y.
  Walk walk;
  const void* x = nullptr;
  void* y = nullptr;
};

// The axis along which x lies densely; -1 when that is y's innermost axis too, so that whole runs can be copied.
inline int AxisToTurn(const Walk& walk) {
  const int inner = walk.axes - 1;
  if (walk.a[inner] == 1) return -1;
  for (int i = 0; i < inner; ++i) {
    if (walk.a[i] == 1) return i;
  }
  return -1;
}

// The same walk in words of `ratio` elements; only where the innermost axis of both is dense, its size and all other
// strides are multiples of `ratio`.
inline Walk InWords(Walk walk, int64_t ratio) {
  const int inner = walk.axes - 1;
  walk.size[inner] /= ratio;
  for (int i = 0; i < inner; ++i) {
    walk.a[i] /= ratio;
    walk.b[i] /= ratio;
  }
  return walk;
}

Code LaunchTranspose(const TransposeCall& call, StreamHandle stream);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_TRANSPOSE_H_
