// RUNs that a device queues as one piece of work, where it can (a CUDA graph): the host then takes a few microseconds
// for a RUN instead of some for each of its calls.
#ifndef RUNTIME_WORKER_RECORDED_RUNS_H_
#define RUNTIME_WORKER_RECORDED_RUNS_H_

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "kernels/device.h"
#include "runtime/worker/bind.h"

namespace millrace {

// A run is queued call by call the first time, when libraries may still make what they need, recorded the second time,
// and launched from then on. The rank's thread only; dies before the device.
class RecordedRuns {
 public:
  // False: what a rank queues for this instruction differs from one time to the next. Its random numbers do, with the
  // micro-batch; and what begins between its calls has to be looked after by the host.
  static bool CanRecord(const BoundInstruction& instruction) {
    return !instruction.run->random && instruction.beginnings.empty();
  }
  // `calls` queues the calls of the run.
  absl::Status Queue(Stream& stream, const BoundRun& run, absl::FunctionRef<absl::Status()> calls);

 private:
  struct Known {
    int times = 0;
    std::unique_ptr<Recording> recording;
  };
  absl::flat_hash_map<const BoundRun*, Known> known_;
  bool none_ = false;  // the device records nothing
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_RECORDED_RUNS_H_
