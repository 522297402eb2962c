// The scalar functions of activations and their derivatives.
#ifndef KERNELS_REFERENCE_ACTIVATIONS_H_
#define KERNELS_REFERENCE_ACTIVATIONS_H_

#include <cmath>
#include <string>

namespace millrace::reference {

using Scalar = double (*)(double);

inline double Identity(double x) { return x; }
inline double Relu(double x) { return x > 0 ? x : (std::isnan(x) ? x : 0); }
inline double Tanh(double x) { return std::tanh(x); }
inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double Silu(double x) { return x * Sigmoid(x); }
inline double SiluDerivative(double x) { return Sigmoid(x) * (1 + x * (1 - Sigmoid(x))); }

// Hendrycks & Gimpel, "Gaussian error linear units": x * Phi(x), Phi the normal distribution.
inline double Phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
inline double Gelu(double x) { return x * Phi(x); }
inline double GeluDerivative(double x) { return Phi(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

// The approximation of the same paper: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
inline double GeluTanhOf(double x) { return std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }
inline double GeluTanh(double x) { return 0.5 * x * (1 + GeluTanhOf(x)); }
inline double GeluTanhDerivative(double x) {
  const double t = GeluTanhOf(x);
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

// The `activation` attribute of FusedMatMul; a name it may not have is Identity.
inline Scalar ActivationOf(const std::string& name) {
  if (name == "Relu") return Relu;
  if (name == "Gelu") return Gelu;
  if (name == "GeluTanh") return GeluTanh;
  if (name == "Silu") return Silu;
  if (name == "Tanh") return Tanh;
  if (name == "Sigmoid") return Sigmoid;
  return Identity;
}

}  // namespace millrace::reference

#endif  // KERNELS_REFERENCE_ACTIVATIONS_H_
