// Softmax and its gradient, ReduceSum, ReduceMean, ReduceSumTo, Expand.
#include <algorithm>
#include <cmath>

#include "kernels/reference/call.h"

namespace millrace::reference {
namespace {

absl::Status Softmax(const Call& call) {
  Doubles y = call.Input(0);
  const int64_t n = call.in(0).columns();
  for (int64_t r = 0; r < call.in(0).rows(); ++r) {
    double* row = y.data() + r * n;
    const double most = *std::max_element(row, row + n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(row[i] - most);
    for (int64_t i = 0; i < n; ++i) row[i] = std::exp(row[i] - most) / sum;
  }
  call.Set(0, y);
  return absl::OkStatus();
}

absl::Status SoftmaxGrad(const Call& call) {
  Doubles dx = call.Input(0);
  const Doubles y = call.Input(1);
  const int64_t n = call.in(0).columns();
  for (int64_t r = 0; r < call.in(0).rows(); ++r) {
    double dot = 0;
    for (int64_t i = r * n; i < (r + 1) * n; ++i) dot += dx[i] * y[i];
    for (int64_t i = r * n; i < (r + 1) * n; ++i) dx[i] = y[i] * (dx[i] - dot);
  }
  call.Set(0, dx);
  return absl::OkStatus();
}

// Adds every element of `x` into the element of `to` that broadcasting would copy it from.
Doubles SumTo(const Doubles& x, const std::vector<int64_t>& dims, const std::vector<int64_t>& to) {
  int64_t elements = 1;
  for (int64_t d : to) elements *= d;
  Doubles sums(elements, 0.0);
  const auto at = BroadcastPositions(to, dims);
  for (size_t i = 0; i < x.size(); ++i) sums[at[i]] += x[i];
  return sums;
}

Doubles SumOverAxes(const Call& call) {
  const auto& dims = call.in(0).dims;
  const std::vector<int64_t> axes = call.attributes().Ints("axes");
  std::vector<int64_t> kept = dims;
  for (int64_t axis : axes) kept[axis < 0 ? axis + dims.size() : axis] = 1;
  if (axes.empty()) kept.assign(dims.size(), 1);
  return SumTo(call.Input(0), dims, kept);
}

absl::Status ReduceSum(const Call& call) {
  call.Set(0, SumOverAxes(call));
  return absl::OkStatus();
}

absl::Status ReduceMean(const Call& call) {
  Doubles y = SumOverAxes(call);
  for (double& value : y) value /= static_cast<double>(call.in(0).elements()) / static_cast<double>(y.size());
  call.Set(0, y);
  return absl::OkStatus();
}

absl::Status ReduceSumTo(const Call& call) {
  const Doubles sums = SumTo(call.Input(0), call.in(0).dims, call.out(0).dims);
  if (call.attributes().Int("accumulate", 0) != 0) {
    call.Add(0, sums);
  } else {
    call.Set(0, sums);
  }
  return absl::OkStatus();
}

absl::Status Expand(const Call& call) {
  const Doubles x = call.Input(0);
  const double scale = call.attributes().Float("scale", 1);
  const auto at = BroadcastPositions(call.in(0).dims, call.out(0).dims);
  Doubles y(at.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = scale * x[at[i]];
  call.Set(0, y);
  return absl::OkStatus();
}

}  // namespace

const std::vector<Operator>& ReductionOperators() {
  static const auto* const operators = new std::vector<Operator>{
      {"Softmax", Softmax},       {"SoftmaxGrad", SoftmaxGrad}, {"ReduceSum", ReduceSum},
      {"ReduceMean", ReduceMean}, {"ReduceSumTo", ReduceSumTo}, {"Expand", Expand},
  };
  return *operators;
}

}  // namespace millrace::reference
