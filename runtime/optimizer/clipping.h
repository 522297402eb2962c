// Clipping by the global norm (Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks",
// 2013), with the numbers of PyTorch's clip_grad_norm_.
#ifndef RUNTIME_OPTIMIZER_CLIPPING_H_
#define RUNTIME_OPTIMIZER_CLIPPING_H_

#include <algorithm>
#include <cmath>

namespace millrace {

// Norm of the mean gradient, from the sum of squares of the unscaled one and the number of terms of the loss.
inline double GradientNorm(double sum_of_squares, double count) { return std::sqrt(sum_of_squares) / count; }

// What the mean gradient is multiplied by: at most 1. clip_norm 0: no clipping.
inline double ClipCoefficient(double clip_norm, double norm) {
  return clip_norm > 0 ? std::min(1.0, clip_norm / (norm + 1e-6)) : 1.0;
}

}  // namespace millrace

#endif  // RUNTIME_OPTIMIZER_CLIPPING_H_
