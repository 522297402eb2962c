#include "runtime/optimizer/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"

namespace millrace {

absl::Status CheckLearningRate(const proto::LearningRate& rate) {
  if (rate.schedule() != "cosine" && rate.schedule() != "linear" && rate.schedule() != "constant") {
    return absl::InvalidArgumentError(
        absl::StrCat("learning_rate.schedule is '", rate.schedule(), "'; choose cosine, linear or constant"));
  }
  if (!std::isfinite(rate.peak()) || rate.peak() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("learning_rate.peak is ", rate.peak(), "; it must be finite and not negative"));
  }
  if (!std::isfinite(rate.minimum()) || rate.minimum() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("learning_rate.minimum is ", rate.minimum(), "; it must be finite and not negative"));
  }
  return absl::OkStatus();
}

double LearningRateAt(const proto::LearningRate& rate, uint64_t step, uint64_t total_steps) {
  const uint64_t warmup = rate.warmup_steps();
  if (step < warmup) return rate.peak() * (static_cast<double>(step) + 1) / static_cast<double>(warmup);
  if (rate.schedule() == "constant") return rate.peak();
  const uint64_t end = rate.decay_steps() > 0 ? rate.decay_steps() : total_steps;
  if (step >= end) return rate.minimum();
  const double r = static_cast<double>(step - warmup) / static_cast<double>(end - warmup);
  if (rate.schedule() == "linear") return rate.peak() + (rate.minimum() - rate.peak()) * r;
  return rate.minimum() + (rate.peak() - rate.minimum()) * 0.5 * (1 + std::cos(std::numbers::pi * r));
}

}  // namespace millrace
