#include "partitioner/search/reasons.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace millrace {
namespace {

const StepSeconds& SecondsOf(const Candidate& candidate) {
  return candidate.simulated.has_value() ? candidate.simulated->seconds : candidate.estimate.seconds;
}

struct Part {
  const char* name;
  double StepSeconds::*seconds;
};
constexpr std::array<Part, 5> kParts = {{{"compute", &StepSeconds::compute},
                                         {"all-reduces of tensor parallelism", &StepSeconds::tensor_parallel},
                                         {"bubble", &StepSeconds::bubble},
                                         {"reduction over replicas", &StepSeconds::reduction},
                                         {"optimizer", &StepSeconds::optimizer}}};

std::string Duration(double seconds) {
  return seconds >= 1 ? absl::StrFormat("%.2f s", seconds) : absl::StrFormat("%.3f ms", 1e3 * seconds);
}

std::string WhyComputes(const Configuration& loser, const Configuration& answer, const SearchQuestion& question) {
  if (loser.devices() < answer.devices()) {
    const int64_t idle = question.machine.devices - loser.devices();
    return absl::StrCat(", ", idle, idle == 1 ? " device idle" : " devices idle");
  }
  if (loser.recompute > answer.recompute) return absl::StrCat(", recomputation is ", NameOf(loser.recompute));
  if (loser.tensor_parallel > answer.tensor_parallel || loser.micro_batch < answer.micro_batch) {
    return ", kernels are smaller";
  }
  return "";
}

}  // namespace

std::string WhySlower(const Candidate& candidate, const Candidate& answer, const SearchQuestion& question) {
  const StepSeconds &own = SecondsOf(candidate), &best = SecondsOf(answer);
  const Part* worst = &kParts[0];
  for (const Part& part : kParts) {
    if (own.*part.seconds - best.*part.seconds > own.*worst->seconds - best.*worst->seconds) worst = &part;
  }
  const double slower = 100 * (own.step / best.step - 1);
  if (own.*worst->seconds <= best.*worst->seconds) return "as fast; it comes later in the order of the search";
  std::string text = absl::StrFormat("%.1f %% slower: %s %s (answer: %s)", slower, worst->name,
                                     Duration(own.*worst->seconds), Duration(best.*worst->seconds));
  if (worst->seconds == &StepSeconds::compute) {
    absl::StrAppend(&text, WhyComputes(candidate.configuration, answer.configuration, question));
  } else if (worst->seconds == &StepSeconds::bubble) {
    absl::StrAppendFormat(&text, ", %.1f %% of its step", 100 * own.bubble / own.step);
  }
  return text;
}

std::string WhyTooLarge(const Candidate& candidate, const SearchQuestion& question) {
  const double bytes =
      candidate.simulated.has_value() ? candidate.simulated->memory_bytes : candidate.estimate.memory_bytes;
  return absl::StrFormat("needs %.1f GB on a device, %.1f GB more than there is", bytes / 1e9,
                         (bytes - question.machine.device.memory_bytes) / 1e9);
}

}  // namespace millrace
