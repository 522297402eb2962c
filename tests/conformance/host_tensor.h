// Tensors on the host, for tests: bytes with a type, filled from a seed, read as doubles, compared within a tolerance.
#ifndef TESTS_CONFORMANCE_HOST_TENSOR_H_
#define TESTS_CONFORMANCE_HOST_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/op_desc.h"

namespace millrace {

// What an operand starts with. Random values depend on a seed and the element alone, never on the dtype (but for its
// rounding), so that a case sees the same numbers in f32 and in f64.
struct Fill {
  enum Kind { NORMAL, UNIFORM, INTEGERS, VALUES };
  Kind kind = NORMAL;
  double low = 0, high = 1;    // UNIFORM: [low, high); INTEGERS: low, low + 1, ... high - 1; NORMAL: mean, deviation
  double sometimes = 0;        // INTEGERS: about one element in four is this instead, when not 0
  std::vector<double> values;  // VALUES: repeated as often as needed
};

struct HostTensor {
  TensorSpec spec;
  std::vector<char> bytes;

  double at(int64_t i) const;
  void set(int64_t i, double value);
  std::vector<double> ToDoubles() const;
};

HostTensor Filled(const TensorSpec& spec, const Fill& fill, uint64_t seed);
// The same elements in another type, rounded.
HostTensor Converted(const HostTensor& tensor, DType dtype);

// An element passes when |got - want| <= relative * |want| + absolute * largest |want| of the tensor + floor. Without
// any budget values must be equal. NaN and infinities must be where they are wanted.
struct Tolerance {
  double relative = 0, absolute = 0, floor = 0;
};
// By the type that results are rounded to: f32 results of f32 kernels, bf16 results and f32 accumulators of bf16
// kernels, f64.
Tolerance ToleranceOf(DType dtype);

// Empty when `got` passes, else the element that exceeds its budget most, and by how much.
std::string Difference(const HostTensor& got, const HostTensor& want, Tolerance tolerance);

}  // namespace millrace

#endif  // TESTS_CONFORMANCE_HOST_TENSOR_H_
