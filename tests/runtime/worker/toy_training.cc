#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/optimizer/clipping.h"
#include "tests/runtime/worker/toy_plan.h"

namespace millrace {
namespace {

float Feature(uint64_t step, uint32_t micro_batch, int64_t i) {
  const uint32_t mixed = static_cast<uint32_t>(step * 131 + micro_batch * 31 + i * 7 + 1) * 2654435761u;
  return static_cast<float>(mixed >> 16) / 32768.0f - 1.0f;
}

// One label is ignored, so that counts matter.
int64_t Label(const ToyOptions& o, uint64_t step, uint32_t micro_batch, int64_t row) {
  if (row == 0 && micro_batch == 1) return -100;
  return static_cast<int64_t>((step * 3 + micro_batch + row * 2) % o.columns);
}

}  // namespace

LoadFn ToyLoad(const ToyOptions& o) {
  return [o](const proto::Input& input, uint64_t step, uint32_t micro_batch, void* memory,
             uint64_t bytes) -> absl::Status {
    if (input.name() == "features" && bytes == static_cast<uint64_t>(o.rows * o.columns) * sizeof(float)) {
      for (int64_t i = 0; i < o.rows * o.columns; ++i) static_cast<float*>(memory)[i] = Feature(step, micro_batch, i);
      return absl::OkStatus();
    }
    if (input.name() == "labels" && bytes == static_cast<uint64_t>(o.rows) * sizeof(int64_t)) {
      for (int64_t r = 0; r < o.rows; ++r) static_cast<int64_t*>(memory)[r] = Label(o, step, micro_batch, r);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("toy load of ", input.name(), ", ", bytes, " bytes"));
  };
}

ToyHistory ToyTraining(const ToyOptions& o, std::vector<std::vector<float>> weights,
                       const std::vector<StepSettings>& steps) {
  const int64_t n = o.rows * o.columns;
  ToyHistory history;
  std::vector<std::vector<float>> m(weights.size(), std::vector<float>(n)), v = m;
  auto parameter_of = [&](int s) { return o.tied && s == o.stages - 1 ? 0 : s; };
  for (const StepSettings& settings : steps) {
    double loss = 0, count = 0;
    std::vector<std::vector<float>> by_stage(o.stages, std::vector<float>(n));
    for (int mb = 0; mb < o.micro_batches; ++mb) {
      std::vector<std::vector<float>> y(o.stages + 1, std::vector<float>(n));
      for (int64_t i = 0; i < n; ++i) y[0][i] = Feature(settings.step, mb, i);
      for (int s = 0; s < o.stages; ++s) {
        for (int64_t i = 0; i < n; ++i) y[s + 1][i] = y[s][i] * weights[parameter_of(s)][i];
      }
      std::vector<float> dy(n);
      for (int64_t r = 0; r < o.rows; ++r) {
        const int64_t label = Label(o, settings.step, mb, r);
        if (label == -100) continue;
        const float* row = &y[o.stages][r * o.columns];
        double sum = 0, largest = row[0];
        for (int64_t c = 0; c < o.columns; ++c) largest = std::max(largest, static_cast<double>(row[c]));
        for (int64_t c = 0; c < o.columns; ++c) sum += std::exp(row[c] - largest);
        loss += std::log(sum) + largest - row[label];
        count += 1;
        for (int64_t c = 0; c < o.columns; ++c) {
          dy[r * o.columns + c] = static_cast<float>(std::exp(row[c] - largest) / sum - (c == label ? 1.0 : 0.0));
        }
      }
      for (int s = o.stages - 1; s >= 0; --s) {
        for (int64_t i = 0; i < n; ++i) {
          by_stage[s][i] += dy[i] * y[s][i];
          dy[i] *= weights[parameter_of(s)][i];
        }
      }
    }
    std::vector<std::vector<float>> gradients(weights.size());
    for (int s = 0; s < o.stages; ++s) {
      std::vector<float>& sum = gradients[parameter_of(s)];
      if (sum.empty()) sum.assign(n, 0);
      for (int64_t i = 0; i < n; ++i) sum[i] += by_stage[s][i];
    }
    double squares = 0;
    for (const std::vector<float>& g : gradients) {
      for (float x : g) squares += static_cast<double>(x) * x;
    }
    const double norm = GradientNorm(squares, count);
    const double scale = ClipCoefficient(settings.clip_norm, norm) / count;
    history.losses.push_back(loss);
    history.norms.push_back(norm);
    history.gradients = gradients;
    const double t = static_cast<double>(settings.optimizer_step);
    for (size_t p = 0; p < weights.size(); ++p) {
      for (int64_t i = 0; i < n; ++i) {
        double g = gradients[p][i] * scale, w = weights[p][i];
        const double decay = p % 2 == 0 ? settings.weight_decay : 0;
        if (o.optimizer == "sgd") {
          g += decay * w;
          m[p][i] = static_cast<float>(settings.momentum * m[p][i] + g);
          weights[p][i] = static_cast<float>(w - settings.learning_rate *
                                                     (settings.nesterov ? g + settings.momentum * m[p][i] : m[p][i]));
          continue;
        }
        w -= settings.learning_rate * decay * w;
        m[p][i] = static_cast<float>(settings.beta1 * m[p][i] + (1 - settings.beta1) * g);
        v[p][i] = static_cast<float>(settings.beta2 * v[p][i] + (1 - settings.beta2) * g * g);
        const double mhat = m[p][i] / (1 - std::pow(settings.beta1, t));
        const double vhat = v[p][i] / (1 - std::pow(settings.beta2, t));
        weights[p][i] = static_cast<float>(w - settings.learning_rate * mhat / (std::sqrt(vhat) + settings.epsilon));
      }
    }
  }
  history.weights = std::move(weights);
  return history;
}

}  // namespace millrace
