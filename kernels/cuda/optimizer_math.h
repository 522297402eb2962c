// One step of an optimizer on one element, and the factors that all elements share.
#ifndef KERNELS_CUDA_OPTIMIZER_MATH_H_
#define KERNELS_CUDA_OPTIMIZER_MATH_H_

#include <cmath>

#include "kernels/cuda/host_device.h"

namespace millrace::cuda {

// The elements of the optimizers' input `hyper` (docs/operators.md).
enum Hyper { kRate, kScale, kSkip, kNumber, kBeta1, kBeta2, kEpsilon, kDecay, kMomentum, kNesterov };

// Worked out in double, once per call: a power per element would cost more than the memory.
struct AdamWFactors {
  bool skip;
  float decay;  // learning rate * weight decay, or 0
  float gradient_scale;
  float beta1, beta2, rest1, rest2;  // rest: 1 - beta
  float step;                        // learning rate / (1 - beta1^t)
  float correction2;                 // 1 / (1 - beta2^t)
  float epsilon;
};

MR_HOST_DEVICE AdamWFactors AdamWFactorsOf(const double* hyper, bool decays) {
  AdamWFactors f;
  f.skip = hyper[kSkip] != 0;
  f.decay = decays ? static_cast<float>(hyper[kRate] * hyper[kDecay]) : 0.0f;
  f.gradient_scale = static_cast<float>(hyper[kScale]);
  f.beta1 = static_cast<float>(hyper[kBeta1]);
  f.beta2 = static_cast<float>(hyper[kBeta2]);
  f.rest1 = static_cast<float>(1.0 - hyper[kBeta1]);
  f.rest2 = static_cast<float>(1.0 - hyper[kBeta2]);
  f.step = static_cast<float>(hyper[kRate] / (1.0 - pow(hyper[kBeta1], hyper[kNumber])));
  f.correction2 = static_cast<float>(1.0 / (1.0 - pow(hyper[kBeta2], hyper[kNumber])));
  f.epsilon = static_cast<float>(hyper[kEpsilon]);
  return f;
}

// Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
MR_HOST_DEVICE void AdamWStep(const AdamWFactors& f, float gradient, float* param, float* m, float* v) {
  const float g = gradient * f.gradient_scale;
  *m = f.beta1 * *m + f.rest1 * g;
  *v = f.beta2 * *v + f.rest2 * (g * g);
  // Fused: 1 - decay would be rounded, and with it some thousandth of a small decay be lost.
  const float decayed = fmaf(-f.decay, *param, *param);
  *param = decayed - f.step * *m / (sqrtf(*v * f.correction2) + f.epsilon);
}

struct SgdFactors {
  bool skip, nesterov;
  float learning_rate, gradient_scale, decay, momentum;
};

MR_HOST_DEVICE SgdFactors SgdFactorsOf(const double* hyper, bool decays) {
  SgdFactors f;
  f.skip = hyper[kSkip] != 0;
  f.nesterov = hyper[kNesterov] != 0;
  f.learning_rate = static_cast<float>(hyper[kRate]);
  f.gradient_scale = static_cast<float>(hyper[kScale]);
  f.decay = decays ? static_cast<float>(hyper[kDecay]) : 0.0f;
  f.momentum = static_cast<float>(hyper[kMomentum]);
  return f;
}

MR_HOST_DEVICE void SgdStep(const SgdFactors& f, float gradient, float* param, float* momentum) {
  const float g = gradient * f.gradient_scale + f.decay * *param;
  *momentum = f.momentum * *momentum + g;
  *param -= f.learning_rate * (f.nesterov ? g + f.momentum * *momentum : *momentum);
}

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_OPTIMIZER_MATH_H_
