// SoftmaxCrossEntropyLoss and its gradient, LinearCrossEntropy.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

// What one row of scores contributes.
struct RowLoss {
  double loss = 0;
  Doubles gradient;  // softmax - onehot
};

RowLoss LossOf(const double* scores, int64_t classes, int64_t label) {
  const double most = *std::max_element(scores, scores + classes);
  double sum = 0;
  for (int64_t v = 0; v < classes; ++v) sum += std::exp(scores[v] - most);
  RowLoss row;
  row.loss = std::log(sum) + most - scores[label];
  row.gradient.resize(classes);
  for (int64_t v = 0; v < classes; ++v) {
    row.gradient[v] = std::exp(scores[v] - most) / sum - (v == label ? 1 : 0);
  }
  return row;
}

absl::Status CheckLabels(const Call& call, const int64_t* labels, int64_t rows, int64_t classes, int64_t ignored) {
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] != ignored && (labels[r] < 0 || labels[r] >= classes)) {
      return absl::InvalidArgumentError(absl::StrCat(call.desc().op, ": label ", labels[r], " of row ", r,
                                                     " is neither in [0, ", classes, ") nor ignore_index=", ignored));
    }
  }
  return absl::OkStatus();
}

int64_t IgnoreIndex(const Call& call) { return call.attributes().Int("ignore_index", -100); }

absl::Status SoftmaxCrossEntropyLoss(const Call& call) {
  const Doubles scores = call.Input(0);
  const int64_t* labels = call.Integers(1);
  const int64_t rows = call.in(1).elements(), classes = call.in(0).columns(), ignored = IgnoreIndex(call);
  if (auto s = CheckLabels(call, labels, rows, classes, ignored); !s.ok()) return s;
  double loss = 0, count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] == ignored) continue;
    loss += LossOf(scores.data() + r * classes, classes, labels[r]).loss;
    count += 1;
  }
  call.SetScalar(0, loss);
  call.SetScalar(1, count);
  return absl::OkStatus();
}

absl::Status SoftmaxCrossEntropyLossGrad(const Call& call) {
  const Doubles scores = call.Input(0);
  const int64_t* labels = call.Integers(1);
  const int64_t rows = call.in(1).elements(), classes = call.in(0).columns(), ignored = IgnoreIndex(call);
  if (auto s = CheckLabels(call, labels, rows, classes, ignored); !s.ok()) return s;
  Doubles d_scores(scores.size(), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] == ignored) continue;
    const RowLoss row = LossOf(scores.data() + r * classes, classes, labels[r]);
    std::copy(row.gradient.begin(), row.gradient.end(), d_scores.begin() + r * classes);
  }
  call.Set(0, d_scores);
  return absl::OkStatus();
}

absl::Status LinearCrossEntropy(const Call& call) {
  const Doubles x = call.Input(0), weight = call.Input(1);
  const int64_t* labels = call.Integers(2);
  const bool trans_b = call.attributes().Int("transB", 1) != 0;
  const int64_t rows = call.in(2).elements(), width = call.in(0).columns(), ignored = IgnoreIndex(call);
  const int64_t classes = call.in(1).dims[trans_b ? 0 : 1];
  if (auto s = CheckLabels(call, labels, rows, classes, ignored); !s.ok()) return s;
  const auto at = [&](int64_t v, int64_t c) { return trans_b ? v * width + c : c * classes + v; };

  Doubles dx(x.size(), 0.0), d_weight(weight.size(), 0.0), scores(classes);
  double loss = 0, count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] == ignored) continue;
    const double* row = x.data() + r * width;
    for (int64_t v = 0; v < classes; ++v) {
      scores[v] = 0;
      for (int64_t c = 0; c < width; ++c) scores[v] += row[c] * weight[at(v, c)];
    }
    const RowLoss one = LossOf(scores.data(), classes, labels[r]);
    loss += one.loss;
    count += 1;
    for (int64_t v = 0; v < classes; ++v) {
      for (int64_t c = 0; c < width; ++c) {
        dx[r * width + c] += one.gradient[v] * weight[at(v, c)];
        d_weight[at(v, c)] += one.gradient[v] * row[c];
      }
    }
  }
  call.SetScalar(0, loss);
  call.SetScalar(1, count);
  call.Set(2, dx);
  call.Add(3, d_weight);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& LossOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"SoftmaxCrossEntropyLoss", SoftmaxCrossEntropyLoss},
      {"SoftmaxCrossEntropyLossGrad", SoftmaxCrossEntropyLossGrad},
      {"LinearCrossEntropy", LinearCrossEntropy},
  };
  return *operators;
}

}  // namespace millrace::reference
