// LayerNormalization (Ba et al., 2016), RMSNormalization (Zhang & Sennrich, 2019) and their gradients, last axis.
#include <cmath>

#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

double Epsilon(const Call& call) { return call.attributes().Float("epsilon", 1e-5); }

absl::Status LayerNormalization(const Call& call) {
  const Doubles x = call.Input(0), scale = call.Input(1);
  const int64_t rows = call.in(0).rows(), n = call.in(0).columns();
  const Doubles bias = call.in(2).present() ? call.Input(2) : Doubles(n, 0.0);
  Doubles y(x.size()), mean(rows, 0.0), inverse(rows, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < n; ++i) mean[r] += x[r * n + i] / n;
    double variance = 0;
    for (int64_t i = 0; i < n; ++i) variance += (x[r * n + i] - mean[r]) * (x[r * n + i] - mean[r]) / n;
    inverse[r] = 1 / std::sqrt(variance + Epsilon(call));
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = (x[r * n + i] - mean[r]) * inverse[r] * scale[i] + bias[i];
  }
  call.Set(0, y);
  call.Set(1, mean);
  call.Set(2, inverse);
  return absl::OkStatus();
}

// With xhat = (x - mean) * inverse and g = dy * scale: dx = inverse * (g - average(g) - xhat * average(g * xhat)).
absl::Status LayerNormalizationGrad(const Call& call) {
  const Doubles dy = call.Input(0), x = call.Input(1), scale = call.Input(2), mean = call.Input(3),
                inverse = call.Input(4);
  const int64_t rows = call.in(1).rows(), n = call.in(1).columns();
  Doubles dx(x.size()), d_scale(n, 0.0), d_bias(n, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double average_g = 0, average_gx = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double xhat = (x[r * n + i] - mean[r]) * inverse[r], g = dy[r * n + i] * scale[i];
      average_g += g / n;
      average_gx += g * xhat / n;
      d_scale[i] += dy[r * n + i] * xhat;
      d_bias[i] += dy[r * n + i];
    }
    for (int64_t i = 0; i < n; ++i) {
      const double xhat = (x[r * n + i] - mean[r]) * inverse[r], g = dy[r * n + i] * scale[i];
      dx[r * n + i] = inverse[r] * (g - average_g - xhat * average_gx);
    }
  }
  call.Set(0, dx);
  call.Add(1, d_scale);
  call.Add(2, d_bias);
  return absl::OkStatus();
}

absl::Status RmsNormalization(const Call& call) {
  const Doubles x = call.Input(0), scale = call.Input(1);
  const int64_t rows = call.in(0).rows(), n = call.in(0).columns();
  Doubles y(x.size()), inverse(rows, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double square = 0;
    for (int64_t i = 0; i < n; ++i) square += x[r * n + i] * x[r * n + i] / n;
    inverse[r] = 1 / std::sqrt(square + Epsilon(call));
    for (int64_t i = 0; i < n; ++i) y[r * n + i] = x[r * n + i] * inverse[r] * scale[i];
  }
  call.Set(0, y);
  call.Set(1, inverse);
  return absl::OkStatus();
}

// With xhat = x * inverse and g = dy * scale: dx = inverse * (g - xhat * average(g * xhat)).
absl::Status RmsNormalizationGrad(const Call& call) {
  const Doubles dy = call.Input(0), x = call.Input(1), scale = call.Input(2), inverse = call.Input(3);
  const int64_t rows = call.in(1).rows(), n = call.in(1).columns();
  Doubles dx(x.size()), d_scale(n, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double average_gx = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double xhat = x[r * n + i] * inverse[r];
      average_gx += dy[r * n + i] * scale[i] * xhat / n;
      d_scale[i] += dy[r * n + i] * xhat;
    }
    for (int64_t i = 0; i < n; ++i) {
      dx[r * n + i] = inverse[r] * (dy[r * n + i] * scale[i] - x[r * n + i] * inverse[r] * average_gx);
    }
  }
  call.Set(0, dx);
  call.Add(1, d_scale);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& NormalizationOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"LayerNormalization", LayerNormalization},
      {"LayerNormalizationGrad", LayerNormalizationGrad},
      {"RMSNormalization", RmsNormalization},
      {"RMSNormalizationGrad", RmsNormalizationGrad},
  };
  return *operators;
}

}  // namespace millrace::reference
