#include "partitioner/search/reasons.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/search/slower.h"

namespace millrace {
namespace {

const StepSeconds& SecondsOf(const Candidate& candidate) {
  return candidate.simulated.has_value() ? candidate.simulated->seconds : candidate.estimate.seconds;
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
  std::string text = SlowerText(own, best);
  double StepSeconds::*const worst = LargestLoss(own, best);
  if (worst == &StepSeconds::compute) {
    absl::StrAppend(&text, WhyComputes(candidate.configuration, answer.configuration, question));
  } else if (worst == &StepSeconds::bubble) {
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
