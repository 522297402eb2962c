#include "runtime/profile/samples.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

// Of sorted values.
double Quantile(const std::vector<double>& values, double fraction) {
  const double at = fraction * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - std::floor(at)) * (values[above] - values[below]);
}

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {Quantile(values, 0.5), Quantile(values, 0.75) - Quantile(values, 0.25), static_cast<int>(values.size())};
}

LineFit FitLine(const std::vector<SizedTime>& times) {
  std::vector<double> slopes;
  for (size_t i = 0; i < times.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (times[i].bytes != times[j].bytes) {
        slopes.push_back((times[i].seconds - times[j].seconds) / (times[i].bytes - times[j].bytes));
      }
    }
  }
  const double slope = std::max(0.0, SpreadOf(std::move(slopes)).median);
  std::vector<double> rest;
  for (const SizedTime& time : times) rest.push_back(time.seconds - slope * time.bytes);
  return {std::max(0.0, SpreadOf(std::move(rest)).median), slope > 0 ? 1 / slope : 0};
}

}  // namespace millrace
