#include "runtime/worker/recorded_runs.h"

#include "proto/status_macros.h"

namespace millrace {

absl::Status RecordedRuns::Queue(Stream& stream, const BoundRun& run, absl::FunctionRef<absl::Status()> calls) {
  if (none_) return calls();
  Known& known = known_[&run];
  if (known.times++ == 0) return calls();
  if (known.recording == nullptr) {
    MR_ASSIGN_OR_RETURN(known.recording, stream.Capture(calls));
    none_ = known.recording == nullptr;
    if (none_) return calls();
  }
  return stream.Launch(*known.recording);
}

}  // namespace millrace
