#include "runtime/supervise/verdict.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

constexpr int kUnavailable = 69, kRetry = 75, kInterrupted = 130;
// Starting again would end the same way: usage, input, configuration, "do not requeue".
constexpr int kFinal[] = {2, 65, 66, 78, 93};

// It ended as the signal told it to.
bool Obeyed(const RankEnd& end, int signal) {
  if (end.removed || end.end.ok()) return true;
  if (end.end.by_signal) return end.end.code == signal;
  return end.end.code == kRetry || end.end.code == 128 + signal;
}

// 0 for an end that says nothing, then the more it explains the higher.
int Weight(const RankEnd& end, int stop_signal) {
  if (end.removed || end.end.ok() || (stop_signal != 0 && Obeyed(end, stop_signal))) return 0;
  if (IsConsequence(end.end)) return 1;
  return end.end.by_signal ? 3 : 2;
}

int ExitCodeOf(const RankEnd& end) {
  if (end.removed || end.end.ok()) return kRetry;  // it hung, or lost its peer
  return end.end.by_signal ? 128 + end.end.code : end.end.code;
}

// The end that explains most, the first of equals; -1: all went well.
int Heaviest(const std::vector<RankEnd>& ends, int stop_signal) {
  int heaviest = -1, most = 0;
  for (int rank = 0; rank < static_cast<int>(ends.size()); ++rank) {
    const int weight = Weight(ends[rank], stop_signal);
    if (weight > most || (weight > 0 && weight == most && ends[rank].at < ends[heaviest].at)) {
      heaviest = rank;
      most = weight;
    }
  }
  return heaviest;
}

bool StoppedInOrder(const std::vector<RankEnd>& ends, int signal) {
  return std::all_of(ends.begin(), ends.end(), [signal](const RankEnd& end) { return Obeyed(end, signal); });
}

Verdict Stopped(const std::vector<RankEnd>& ends, int signal) {
  const bool finished =
      std::all_of(ends.begin(), ends.end(), [](const RankEnd& end) { return !end.removed && end.end.ok(); });
  if (finished) return {};
  return {signal == SIGINT ? kInterrupted : kRetry, -1, absl::StrCat("stopped by SIG", sigabbrev_np(signal)), false};
}

}  // namespace

bool IsConsequence(const ChildEnd& end) { return !end.by_signal && (end.code == kUnavailable || end.code == kRetry); }

Verdict Judge(const std::vector<RankEnd>& ends, const std::optional<JobFailure>& failure, int stop_signal) {
  if (stop_signal != 0 && StoppedInOrder(ends, stop_signal)) return Stopped(ends, stop_signal);
  int culprit = Heaviest(ends, stop_signal);
  if (!failure.has_value() && culprit < 0) return {};

  Verdict verdict;
  // A witness who was believed for want of a better one is not believed against a process that was killed.
  const bool doubtful = failure.has_value() && failure->kind == JobFailure::Kind::kReported &&
                        IsConsequence(failure->code) && culprit >= 0 && ends[culprit].end.by_signal;
  if (failure.has_value() && !doubtful) {
    culprit = failure->rank;
    verdict.message = failure->message;
  } else {
    verdict.message = absl::StrCat("rank ", culprit, " ", ends[culprit].end.ToString());
  }
  verdict.culprit = culprit;
  if (culprit < 0 || culprit >= static_cast<int>(ends.size())) {
    verdict.exit_code = kRetry;
    verdict.may_restart = true;
    return verdict;
  }
  const RankEnd& end = ends[culprit];
  const std::string how = end.end.ToString();
  if (!end.removed && !end.end.ok() && verdict.message.find(how) == std::string::npos) {
    absl::StrAppend(&verdict.message, "; its process ", how);
  }
  verdict.exit_code = ExitCodeOf(end);
  verdict.may_restart = std::find(std::begin(kFinal), std::end(kFinal), verdict.exit_code) == std::end(kFinal);
  return verdict;
}

}  // namespace millrace
