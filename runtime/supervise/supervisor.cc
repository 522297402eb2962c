#include "runtime/supervise/supervisor.h"

#include <poll.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/log/log.h"
#include "runtime/rendezvous/token.h"
#include "runtime/supervise/attempt.h"

namespace millrace {
namespace {

using std::chrono::milliseconds;

constexpr auto kSoon = std::chrono::seconds(5);  // an attempt that fails sooner makes the next one wait
constexpr auto kFirstPause = milliseconds(100), kLongestPause = milliseconds(5000);

// Whether a signal came in the meantime.
bool PauseOrSignal(milliseconds pause, StopSignals& signals) {
  pollfd entry{signals.descriptor(), POLLIN, 0};
  return poll(&entry, 1, static_cast<int>(pause.count())) > 0;
}

absl::Status Check(const SuperviseOptions& options) {
  if (options.command.empty()) return absl::InvalidArgumentError("there is no command for the ranks to run");
  if (options.ranks < 1 || options.ranks > 4096) {
    return absl::InvalidArgumentError(absl::StrCat(options.ranks, " ranks on one machine; there may be 1 to 4096"));
  }
  if (options.max_restarts < 0) return absl::InvalidArgumentError("the number of restarts cannot be negative");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SuperviseResult> Supervise(const SuperviseOptions& given) {
  MR_RETURN_IF_ERROR(Check(given));
  SuperviseOptions options = given;
  if (options.job.empty()) options.job = absl::StrCat("local-", absl::BytesToHexString(RandomBytes(6)));
  MR_ASSIGN_OR_RETURN(const std::unique_ptr<StopSignals> signals, StopSignals::Catch());

  milliseconds pause = kFirstPause;
  for (int restarts = 0;; ++restarts) {
    const auto begun = std::chrono::steady_clock::now();
    Attempt attempt(options, restarts, signals.get());
    MR_ASSIGN_OR_RETURN(const Verdict verdict, attempt.Run());
    SuperviseResult result{verdict.exit_code, verdict.culprit, restarts, verdict.message};
    if (verdict.exit_code == 0 || !verdict.may_restart || attempt.stop_signal() != 0) return result;
    if (restarts == options.max_restarts) {
      if (restarts > 0) absl::StrAppend(&result.message, " (after ", restarts, " restarts)");
      return result;
    }
    Log(LogLevel::kWarning, absl::StrCat(verdict.message, "; starting all ", options.ranks, " ranks again (",
                                         restarts + 1, " of ", options.max_restarts, ")"));
    const bool soon = std::chrono::steady_clock::now() - begun < kSoon;
    pause = soon ? std::min<milliseconds>(pause * 2, kLongestPause) : kFirstPause;
    if (PauseOrSignal(soon ? pause : milliseconds(0), *signals)) return result;
  }
}

}  // namespace millrace
