// The arithmetic of one element of the elementwise operators, in float. Formulas as in kernels/reference/activations.h.
#ifndef KERNELS_CUDA_SCALAR_MATH_H_
#define KERNELS_CUDA_SCALAR_MATH_H_

#include <cmath>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

enum class MapOp : int {
  kIdentity,
  kNeg,
  kRelu,
  kTanh,
  kSigmoid,
  kSilu,
  kGelu,
  kGeluTanh,
  // Of two operands: dY, and X, or Y for tanh and sigmoid.
  kReluGrad,
  kTanhGrad,
  kSigmoidGrad,
  kSiluGrad,
  kGeluGrad,
  kGeluTanhGrad,
};
constexpr bool HasTwoOperands(MapOp op) { return op >= MapOp::kReluGrad; }

// NaN stays NaN.
MR_HOST_DEVICE float Relu(float x) { return x > 0.0f || x != x ? x : 0.0f; }
MR_HOST_DEVICE float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
MR_HOST_DEVICE float Silu(float x) { return x * Sigmoid(x); }

// The normal distribution; erfc keeps its relative precision in the left tail, where 1 + erf loses it.
MR_HOST_DEVICE float NormalCdf(float x) { return 0.5f * erfcf(-0.70710678118654752f * x); }
MR_HOST_DEVICE float Gelu(float x) { return x * NormalCdf(x); }
// x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
MR_HOST_DEVICE float GeluTwiceU(float x) {
  const float c = 2.0f * 0.79788456080286536f;
  return x * (c + c * 0.044715f * x * x);
}
MR_HOST_DEVICE float GeluTanh(float x) { return x * Sigmoid(GeluTwiceU(x)); }

MR_HOST_DEVICE float ReluSlope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
MR_HOST_DEVICE float TanhSlopeOfY(float y) { return 1.0f - y * y; }
MR_HOST_DEVICE float SigmoidSlopeOfY(float y) { return y * (1.0f - y); }
MR_HOST_DEVICE float SiluSlope(float x) {
  const float s = Sigmoid(x);
  return s + x * s * (1.0f - s);
}
MR_HOST_DEVICE float GeluSlope(float x) { return NormalCdf(x) + x * 0.39894228040143268f * expf(-0.5f * x * x); }
MR_HOST_DEVICE float GeluTanhSlope(float x) {
  const float c = 2.0f * 0.79788456080286536f, s = Sigmoid(GeluTwiceU(x));
  return s + x * (c + 3.0f * c * 0.044715f * x * x) * s * (1.0f - s);
}

// One operand; the gradients are of two.
template <MapOp op>
MR_HOST_DEVICE float Map(float x) {
  if constexpr (op == MapOp::kIdentity) return x;
  if constexpr (op == MapOp::kNeg) return -x;
  if constexpr (op == MapOp::kRelu) return Relu(x);
  if constexpr (op == MapOp::kTanh) return tanhf(x);
  if constexpr (op == MapOp::kSigmoid) return Sigmoid(x);
  if constexpr (op == MapOp::kSilu) return Silu(x);
  if constexpr (op == MapOp::kGelu) return Gelu(x);
  if constexpr (op == MapOp::kGeluTanh) return GeluTanh(x);
  if constexpr (op == MapOp::kReluGrad) return ReluSlope(x);
  if constexpr (op == MapOp::kTanhGrad) return TanhSlopeOfY(x);
  if constexpr (op == MapOp::kSigmoidGrad) return SigmoidSlopeOfY(x);
  if constexpr (op == MapOp::kSiluGrad) return SiluSlope(x);
  if constexpr (op == MapOp::kGeluGrad) return GeluSlope(x);
  if constexpr (op == MapOp::kGeluTanhGrad) return GeluTanhSlope(x);
}

template <MapOp op, int N>
MR_HOST_DEVICE void MapEach(float (&x)[N]) {
  MR_UNROLL
  for (int i = 0; i < N; ++i) x[i] = Map<op>(x[i]);
}

// The same for an operator known only at run time. It is chosen outside the loop, so one kernel, which waits for memory
// anyway, does for all operators.
template <int N>
MR_HOST_DEVICE void MapAll(MapOp op, float (&x)[N]) {
  switch (op) {
    case MapOp::kIdentity:
      return;
    case MapOp::kNeg:
      return MapEach<MapOp::kNeg>(x);
    case MapOp::kRelu:
      return MapEach<MapOp::kRelu>(x);
    case MapOp::kTanh:
      return MapEach<MapOp::kTanh>(x);
    case MapOp::kSigmoid:
      return MapEach<MapOp::kSigmoid>(x);
    case MapOp::kSilu:
      return MapEach<MapOp::kSilu>(x);
    case MapOp::kGelu:
      return MapEach<MapOp::kGelu>(x);
    case MapOp::kGeluTanh:
      return MapEach<MapOp::kGeluTanh>(x);
    case MapOp::kReluGrad:
      return MapEach<MapOp::kReluGrad>(x);
    case MapOp::kTanhGrad:
      return MapEach<MapOp::kTanhGrad>(x);
    case MapOp::kSigmoidGrad:
      return MapEach<MapOp::kSigmoidGrad>(x);
    case MapOp::kSiluGrad:
      return MapEach<MapOp::kSiluGrad>(x);
    case MapOp::kGeluGrad:
      return MapEach<MapOp::kGeluGrad>(x);
    case MapOp::kGeluTanhGrad:
      return MapEach<MapOp::kGeluTanhGrad>(x);
  }
}

enum class BinaryOp : int { kAdd, kSub, kMul, kDiv };
MR_HOST_DEVICE float Combine(BinaryOp op, float a, float b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    default:
      return a / b;
  }
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_SCALAR_MATH_H_
