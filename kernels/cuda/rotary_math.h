// Which two elements a rotation pairs, and the rotation.
#ifndef KERNELS_CUDA_ROTARY_MATH_H_
#define KERNELS_CUDA_ROTARY_MATH_H_

#include <cstdint>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

struct RotaryShape {
  int64_t pairs = 0;      // of all of X: half of its elements
  int64_t positions = 0;  // T
  int64_t heads = 0;
  int64_t half = 0;  // of a head's width: the pairs of a head
  bool interleaved = false;
};

struct RotaryPair {
  int64_t first, second;  // elements of X
  int64_t angle;          // element of cos and sin
};

// Pairs are counted along the heads of a row, then along rows. Index as for PositionAt (walk.h).
template <typename Index>
MR_HOST_DEVICE RotaryPair PairAt(const RotaryShape& shape, int64_t pair) {
  const Index of = static_cast<Index>(pair), half = static_cast<Index>(shape.half);
  const Index head = of / half, i = of - head * half;  // of all heads of all rows
  const Index row = head / static_cast<Index>(shape.heads), position = row % static_cast<Index>(shape.positions);
  const int64_t begin = static_cast<int64_t>(head) * 2 * shape.half, at = static_cast<int64_t>(i);
  const int64_t angle = static_cast<int64_t>(position) * shape.half + at;
  if (shape.interleaved) return {begin + 2 * at, begin + 2 * at + 1, angle};
  return {begin + at, begin + shape.half + at, angle};
}

MR_HOST_DEVICE void Rotate(float cosine, float sine, float* first, float* second) {
  const float x = *first, y = *second;
  *first = x * cosine - y * sine;
  *second = y * cosine + x * sine;
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_ROTARY_MATH_H_
