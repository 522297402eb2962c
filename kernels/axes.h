// Walking several tensors of different strides together, axis by axis.
#ifndef KERNELS_AXES_H_
#define KERNELS_AXES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

// One axis of a walk over two operands, a and b: its size, and how many elements each operand moves per step.
struct Axis {
  int64_t size, a, b;
};
using Axes = std::vector<Axis>;  // outermost first

// Elements from one index to the next along each dimension of a dense row-major tensor.
std::vector<int64_t> DenseStrides(const std::vector<int64_t>& dims);
// Strides of a tensor of `dims` as seen from `to` by numpy broadcasting: 0 along dimensions that it repeats.
std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& dims, const std::vector<int64_t>& to);

// The same walk with fewer axes: those of size 1 dropped, neighbours that move as one merged. Never empty.
Axes Collapse(const Axes& axes);

// Where step `index` of the first `count` axes (counted row-major) puts the two operands.
struct Offsets {
  int64_t a = 0, b = 0;
};
inline Offsets OffsetsAt(const Axes& axes, size_t count, int64_t index) {
  Offsets at;
  for (size_t i = count; i-- > 0;) {
    const int64_t step = index % axes[i].size;
    index /= axes[i].size;
    at.a += step * axes[i].a;
    at.b += step * axes[i].b;
  }
  return at;
}

inline int64_t Steps(const Axes& axes, size_t count) {
  int64_t n = 1;
  for (size_t i = 0; i < count; ++i) n *= axes[i].size;
  return n;
}

}  // namespace millrace

#endif  // KERNELS_AXES_H_
