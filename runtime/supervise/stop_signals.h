// SIGINT, SIGTERM and SIGHUP as bytes in a pipe, for a poll() loop.
#ifndef RUNTIME_SUPERVISE_STOP_SIGNALS_H_
#define RUNTIME_SUPERVISE_STOP_SIGNALS_H_

#include <signal.h>

#include <array>
#include <memory>

#include "absl/status/statusor.h"

namespace millrace {

// At most one lives in a process. While it lives, SIGPIPE is ignored too; afterwards everything is as before.
class StopSignals {
 public:
  static absl::StatusOr<std::unique_ptr<StopSignals>> Catch();
  ~StopSignals();

  int descriptor() const { return source_; }
  int Take();  // the next signal; 0 when there is none

 private:
  explicit StopSignals(int source, int sink);

  const int source_, sink_;
  std::array<struct sigaction, 4> before_;
};

}  // namespace millrace

#endif  // RUNTIME_SUPERVISE_STOP_SIGNALS_H_
