#include "partitioner/cost/fit_rates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "partitioner/cost/cost_model.h"

namespace millrace {
namespace {

constexpr double kSmall = 16384;
constexpr double kDefaultCallSeconds = 1e-6;
constexpr int kMostRounds = 20;
constexpr int kFamilies = 3;

struct Sample {
  int family = 0;
  double flops = 0, bytes = 0;
  double seconds = 0;
};

struct Weighted {
  double value = 0, weight = 0;
};

// Smallest value that with all below it has the fraction of the weight.
double Quantile(std::vector<Weighted> values, double fraction) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end(), [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0, below = 0;
  for (const Weighted& v : values) total += v.weight;
  for (const Weighted& v : values) {
    below += v.weight;
    if (below >= fraction * total) return v.value;
  }
  return values.back().value;
}

std::vector<Sample> SamplesOf(const proto::CostTable& table, bool shared) {
  std::vector<Sample> samples;
  for (const proto::KernelCost& kernel : table.kernels()) {
    const double seconds = shared ? kernel.seconds_shared() : kernel.seconds();
    if (!std::isfinite(seconds) || seconds <= 0 || absl::StartsWith(kernel.key(), "pack ")) continue;
    if (!std::isfinite(kernel.flops()) || (kernel.flops() <= 0 && kernel.bytes() == 0)) continue;
    const absl::string_view op = absl::string_view(kernel.key()).substr(0, kernel.key().find('('));
    samples.push_back({static_cast<int>(FamilyOf(op)), kernel.flops(), static_cast<double>(kernel.bytes()), seconds});
  }
  return samples;
}

struct Rates {
  std::array<double, kFamilies> flops{};
  double bytes = 0;

  bool ByArithmetic(const Sample& sample) const {
    if (flops[sample.family] <= 0) return false;
    return bytes <= 0 || sample.flops / flops[sample.family] > sample.bytes / bytes;
  }
};

// With `rates` of the calls on each rate's side only, weighted by time; else of all, each counted once: most time is spent
// in calls that are far from memory's roof.
Rates Take(const std::vector<Sample>& samples, double call_seconds, double fraction, const Rates* rates) {
  std::array<std::vector<Weighted>, kFamilies> flops;
  std::vector<Weighted> bytes;
  for (const Sample& sample : samples) {
    const double work = sample.seconds - call_seconds;
    if (work <= 0.25 * sample.seconds) continue;  // mostly the call itself: says nothing about a rate
    const bool arithmetic = rates == nullptr || rates->ByArithmetic(sample);
    const bool memory = rates == nullptr || !arithmetic;
    const double weight = rates == nullptr ? 1 : sample.seconds;
    if (arithmetic && sample.flops > 0) flops[sample.family].push_back({sample.flops / work, weight});
    if (memory && sample.bytes > 0) bytes.push_back({sample.bytes / work, weight});
  }
  Rates out;
  for (int f = 0; f < kFamilies; ++f) out.flops[f] = Quantile(std::move(flops[f]), fraction);
  out.bytes = Quantile(std::move(bytes), fraction);
  return out;
}

proto::FittedRates Fit(const std::vector<Sample>& samples) {
  proto::FittedRates fit;
  if (samples.empty()) return fit;
  double call_seconds = 0;
  for (const Sample& sample : samples) {
    if (sample.bytes >= kSmall || sample.flops >= kSmall) continue;
    call_seconds = call_seconds > 0 ? std::min(call_seconds, sample.seconds) : sample.seconds;
  }
  if (call_seconds <= 0) call_seconds = kDefaultCallSeconds;
  Rates rates = Take(samples, call_seconds, 0.9, nullptr);
  for (int round = 0; round < kMostRounds; ++round) {
    const Rates next = Take(samples, call_seconds, 0.5, &rates);
    const bool stays = next.flops == rates.flops && next.bytes == rates.bytes;
    rates = next;
    if (stays) break;
  }
  fit.set_matmul_flops_per_second(rates.flops[static_cast<int>(OpFamily::kMatmul)]);
  fit.set_attention_flops_per_second(rates.flops[static_cast<int>(OpFamily::kAttention)]);
  fit.set_other_flops_per_second(rates.flops[static_cast<int>(OpFamily::kOther)]);
  fit.set_bytes_per_second(rates.bytes);
  fit.set_call_seconds(call_seconds);
  fit.set_kernels(static_cast<uint32_t>(samples.size()));
  return fit;
}

}  // namespace

void FitRates(proto::CostTable* table) {
  *table->mutable_alone() = Fit(SamplesOf(*table, /*shared=*/false));
  *table->mutable_shared() = Fit(SamplesOf(*table, /*shared=*/true));
}

}  // namespace millrace
