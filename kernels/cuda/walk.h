// Where element i of a result finds its two operands: index arithmetic over a few axes, passed to a kernel by value.
#ifndef KERNELS_CUDA_WALK_H_
#define KERNELS_CUDA_WALK_H_

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

inline constexpr int kMostAxes = 8;

// Axes from the outermost; at least one. Strides are in elements, 0 where an operand repeats.
struct Walk {
  int axes = 1;
  int64_t size[kMostAxes] = {};
  int64_t a[kMostAxes] = {}, b[kMostAxes] = {};

  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < axes; ++i) n *= size[i];
    return n;
  }
};

struct WalkPosition {
  int64_t a = 0, b = 0;
};

// Index is uint32_t where there are fewer than 2^31 elements: division by it is several times as fast.
template <typename Index>
MR_HOST_DEVICE WalkPosition PositionAt(const Walk& walk, int64_t element) {
  WalkPosition at;
  Index rest = static_cast<Index>(element);
  for (int i = walk.axes - 1; i > 0; --i) {
    const Index size = static_cast<Index>(walk.size[i]), step = rest % size;
    rest /= size;
    at.a += static_cast<int64_t>(step) * walk.a[i];
    at.b += static_cast<int64_t>(step) * walk.b[i];
  }
  at.a += static_cast<int64_t>(rest) * walk.a[0];
  at.b += static_cast<int64_t>(rest) * walk.b[0];
  return at;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_WALK_H_
