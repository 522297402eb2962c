// Elementwise operators, Dropout, Cast, Accumulate.
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/random.h"
#include "kernels/reference/activations.h"
#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

template <double (*f)(double, double)>
absl::Status Binary(const Call& call) {
  const Doubles a = call.Input(0), b = call.Input(1);
  const auto at_a = BroadcastPositions(call.in(0).dims, call.out(0).dims);
  const auto at_b = BroadcastPositions(call.in(1).dims, call.out(0).dims);
  Doubles y(at_a.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = f(a[at_a[i]], b[at_b[i]]);
  call.Set(0, y);
  return absl::OkStatus();
}

double AddOf(double a, double b) { return a + b; }
double SubOf(double a, double b) { return a - b; }
double MulOf(double a, double b) { return a * b; }
double DivOf(double a, double b) { return a / b; }

template <Scalar f>
absl::Status Unary(const Call& call) {
  Doubles y = call.Input(0);
  for (double& x : y) x = f(x);
  call.Set(0, y);
  return absl::OkStatus();
}

double NegOf(double x) { return -x; }

bool WithTanh(const Call& call) { return call.attributes().String("approximate", "none") == "tanh"; }

absl::Status GeluOp(const Call& call) { return WithTanh(call) ? Unary<GeluTanh>(call) : Unary<Gelu>(call); }

// dX = dY * derivative(second input: X, or Y where the derivative is simpler in it).
template <Scalar derivative>
absl::Status UnaryGrad(const Call& call) {
  Doubles dx = call.Input(0);
  const Doubles at = call.Input(1);
  for (size_t i = 0; i < dx.size(); ++i) dx[i] *= derivative(at[i]);
  call.Set(0, dx);
  return absl::OkStatus();
}

double ReluDerivative(double x) { return x > 0 ? 1 : 0; }
double TanhDerivativeOfY(double y) { return 1 - y * y; }
double SigmoidDerivativeOfY(double y) { return y * (1 - y); }

absl::Status GeluGrad(const Call& call) {
  return WithTanh(call) ? UnaryGrad<GeluTanhDerivative>(call) : UnaryGrad<GeluDerivative>(call);
}

absl::Status Dropout(const Call& call) {
  const double ratio = call.attributes().Float("ratio", 0.5);
  const Philox random(call.key().seed, call.attributes().Bits("random_key", 0), call.key().step,
                      call.key().micro_batch);
  Doubles y = call.Input(0);
  for (size_t i = 0; i < y.size(); ++i) y[i] = random.Uniform(i) >= ratio ? y[i] / (1 - ratio) : 0;
  call.Set(0, y);
  return absl::OkStatus();
}

// Floats become integers by truncation; what does not fit becomes the nearest that does, NaN becomes 0.
template <typename To, typename From>
To Convert(From x) {
  if constexpr (std::is_same_v<From, BFloat16> || std::is_same_v<From, _Float16>) {
    return Convert<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, BFloat16> || std::is_same_v<To, _Float16>) {
    return static_cast<To>(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    const From limit = std::ldexp(From{1}, 8 * sizeof(To) - 1);  // one more than the largest To
    if (std::isnan(x)) return 0;
    if (x >= limit) return std::numeric_limits<To>::max();
    if (x < -limit) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
void ConvertAll(const Call& call) {
  const auto* from = static_cast<const From*>(call.InputMemory(0));
  auto* to = static_cast<To*>(call.OutputMemory(0));
  for (int64_t i = 0; i < call.in(0).elements(); ++i) to[i] = Convert<To>(from[i]);
}

template <typename From>
void ConvertFrom(const Call& call) {
  switch (call.out(0).dtype) {
    case proto::F32:
      return ConvertAll<From, float>(call);
    case proto::F64:
      return ConvertAll<From, double>(call);
    case proto::BF16:
      return ConvertAll<From, BFloat16>(call);
    case proto::F16:
      return ConvertAll<From, _Float16>(call);
    case proto::I32:
      return ConvertAll<From, int32_t>(call);
    default:
      return ConvertAll<From, int64_t>(call);
  }
}

absl::Status Cast(const Call& call) {
  switch (call.in(0).dtype) {
    case proto::F32:
      ConvertFrom<float>(call);
      break;
    case proto::F64:
      ConvertFrom<double>(call);
      break;
    case proto::BF16:
      ConvertFrom<BFloat16>(call);
      break;
    case proto::F16:
      ConvertFrom<_Float16>(call);
      break;
    case proto::I32:
      ConvertFrom<int32_t>(call);
      break;
    default:
      ConvertFrom<int64_t>(call);
      break;
  }
  return absl::OkStatus();
}

absl::Status Accumulate(const Call& call) {
  call.Add(0, call.Input(0));
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& ElementwiseOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"Add", Binary<AddOf>},
      {"Sub", Binary<SubOf>},
      {"Mul", Binary<MulOf>},
      {"Div", Binary<DivOf>},
      {"Neg", Unary<NegOf>},
      {"Relu", Unary<Relu>},
      {"Tanh", Unary<Tanh>},
      {"Sigmoid", Unary<Sigmoid>},
      {"Silu", Unary<Silu>},
      {"Gelu", GeluOp},
      {"ReluGrad", UnaryGrad<ReluDerivative>},
      {"SiluGrad", UnaryGrad<SiluDerivative>},
      {"GeluGrad", GeluGrad},
      {"TanhGrad", UnaryGrad<TanhDerivativeOfY>},
      {"SigmoidGrad", UnaryGrad<SigmoidDerivativeOfY>},
      {"Dropout", Dropout},
      {"Cast", Cast},
      {"Accumulate", Accumulate},
  };
  return *operators;
}

}  // namespace millrace::reference
