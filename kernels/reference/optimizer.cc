// AdamW (Loshchilov & Hutter, 2019), SGD with momentum, SquaredSums.
#include <algorithm>
#include <cmath>

#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

// The input `hyper`, by name.
struct Hyper {
  double learning_rate, gradient_scale, skip, step, beta1, beta2, epsilon, weight_decay, momentum, nesterov;
};

Hyper HyperOf(const Call& call) {
  const Doubles h = call.Input(0);
  Hyper hyper{h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]};
  if (call.attributes().Int("decay", 0) == 0) hyper.weight_decay = 0;
  return hyper;
}

// What is stepped: the parameter, or the master at `states`, where there is one, and the parameter is its rounded copy.
int Stepped(const Call& call, int states) { return static_cast<int>(call.desc().outputs.size()) > states ? states : 0; }

void SetWeights(const Call& call, int stepped, const Doubles& weights) {
  call.Set(stepped, weights);
  if (stepped != 0) call.Set(0, call.Current(stepped));
}

void ZeroGradient(const Call& call) { call.Set(1, Doubles(call.out(1).elements(), 0.0)); }

absl::Status AdamW(const Call& call) {
  const Hyper hyper = HyperOf(call);
  if (hyper.skip == 0) {
    const int stepped = Stepped(call, 4);
    Doubles param = call.Current(stepped), m = call.Current(2), v = call.Current(3);
    const Doubles grad = call.Current(1);
    const double correct1 = 1 - std::pow(hyper.beta1, hyper.step), correct2 = 1 - std::pow(hyper.beta2, hyper.step);
    for (size_t i = 0; i < param.size(); ++i) {
      const double g = grad[i] * hyper.gradient_scale;
      m[i] = hyper.beta1 * m[i] + (1 - hyper.beta1) * g;
      v[i] = hyper.beta2 * v[i] + (1 - hyper.beta2) * g * g;
      param[i] -= hyper.learning_rate * hyper.weight_decay * param[i];
      param[i] -= hyper.learning_rate * (m[i] / correct1) / (std::sqrt(v[i] / correct2) + hyper.epsilon);
    }
    SetWeights(call, stepped, param);
    call.Set(2, m);
    call.Set(3, v);
  }
  ZeroGradient(call);
  return absl::OkStatus();
}

absl::Status SgdMomentum(const Call& call) {
  const Hyper hyper = HyperOf(call);
  if (hyper.skip == 0) {
    const int stepped = Stepped(call, 3);
    Doubles param = call.Current(stepped), momentum = call.Current(2);
    const Doubles grad = call.Current(1);
    for (size_t i = 0; i < param.size(); ++i) {
      const double g = grad[i] * hyper.gradient_scale + hyper.weight_decay * param[i];
      momentum[i] = hyper.momentum * momentum[i] + g;
      param[i] -= hyper.learning_rate * (hyper.nesterov != 0 ? g + hyper.momentum * momentum[i] : momentum[i]);
    }
    SetWeights(call, stepped, param);
    call.Set(2, momentum);
  }
  ZeroGradient(call);
  return absl::OkStatus();
}

absl::Status SquaredSums(const Call& call) {
  const Doubles grad = call.Input(0);
  const int64_t block = call.attributes().Int("block", 0);
  Doubles sums(call.out(0).elements(), 0.0);
  for (size_t i = 0; i < grad.size(); ++i) sums[i / block] += grad[i] * grad[i];
  call.Set(0, sums);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& OptimizerOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"AdamW", AdamW},
      {"SgdMomentum", SgdMomentum},
      {"SquaredSums", SquaredSums},
  };
  return *operators;
}

}  // namespace millrace::reference
