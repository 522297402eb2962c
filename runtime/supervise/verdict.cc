#include "runtime/supervise/verdict.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

constexpr int kUnavailable = 69, kRetry = 75, kInterrupted = 130;
// Starting again would end the same way: usage, input, configuration, "do not requeue".
constexpr int kFinal[] = {2, 65, 66, 78, 93};

// 0 for an end that says nothing, then the more it explains the higher.
int Weight(const RankEnd& end) {
  if (end.removed || end.end.ok()) return 0;
  if (IsConsequence(end.end)) return 1;
  return end.end.by_signal ? 3 : 2;
}

int ExitCodeOf(const RankEnd& end) {
  if (end.removed || end.end.ok()) return kRetry;  // it hung, or lost its peer
  return end.end.by_signal ? 128 + end.end.code : end.end.code;
}

// The end that explains most, the first of equals; -1: all went well.
int Heaviest(const std::vector<RankEnd>& ends) {
  int heaviest = -1;
  for (int rank = 0; rank < static_cast<int>(ends.size()); ++rank) {
    if (Weight(ends[rank]) == 0) continue;
    if (heaviest < 0 || Weight(ends[rank]) > Weight(ends[heaviest]) ||
        (Weight(ends[rank]) == Weight(ends[heaviest]) && ends[rank].at < ends[heaviest].at)) {
      heaviest = rank;
    }
  }
  return heaviest;
}

// The ranks ended as they were told to.
bool StoppedInOrder(const std::vector<RankEnd>& ends, int signal) {
  return std::all_of(ends.begin(), ends.end(), [signal](const RankEnd& end) {
    if (end.removed || end.end.ok()) return true;
    if (end.end.by_signal) return end.end.code == signal;
    return end.end.code == kRetry || end.end.code == 128 + signal;
  });
}

Verdict Stopped(const std::vector<RankEnd>& ends, int signal) {
  const bool finished =
      std::all_of(ends.begin(), ends.end(), [](const RankEnd& end) { return !end.removed && end.end.ok(); });
  if (finished) return {};
  return {signal == SIGINT ? kInterrupted : kRetry, -1, absl::StrCat("stopped by SIG", sigabbrev_np(signal)), false};
}

}  // namespace

bool IsConsequence(const ChildEnd& end) {
  return !end.by_signal && (end.code == kUnavailable || end.code == kRetry);
}

Verdict Judge(const std::vector<RankEnd>& ends, const std::optional<JobFailure>& failure, int stop_signal) {
  if (stop_signal != 0 && StoppedInOrder(ends, stop_signal)) return Stopped(ends, stop_signal);
  int culprit = Heaviest(ends);
  if (!failure.has_value() && culprit < 0) return {};

  Verdict verdict;
  // A witness who was believed for want of a better one is not believed against a process that was killed.
  const bool doubtful = failure.has_value() && failure->kind == JobFailure::Kind::kReported &&
                        IsConsequence(failure->code) && culprit >= 0 && Weight(ends[culprit]) == 3;
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
