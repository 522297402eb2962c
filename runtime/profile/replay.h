// One rank's kernel calls in the order of its lists, on memory of its own, each one timed.
//
// A call measured by itself in a loop finds its operands in the caches; in a step it does not. So the calls are
// replayed as the step makes them: the same arena, the same slots, the same order, the first micro-batches of each
// program, then the optimizer and the packing. Transfers are left out; what would have arrived is filled with small
// random numbers once.
#ifndef RUNTIME_PROFILE_REPLAY_H_
#define RUNTIME_PROFILE_REPLAY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/profile/call_table.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/bind.h"

namespace millrace {

// Seconds by index into CallTable::calls(). Of a call that runs on the calling thread alone and takes more than 20 us,
// that thread's processor time: other work on the machine then does not count, and ranks that outnumber the cores are
// the simulator's business. Of the others the time on the clock.
using CallTimes = std::vector<std::vector<double>>;

// Used by one thread, the one that opened the device.
class Replay {
 public:
  // The plan must have passed VerifyPlan; everything passed in must outlive the result. Allocates the rank's arena.
  // FAILED_PRECONDITION when a kernel needs more memory than the plan gives it, RESOURCE_EXHAUSTED without the memory.
  static absl::StatusOr<std::unique_ptr<Replay>> Make(const proto::ExecutionPlan& plan, const CallTable& table,
                                                      int rank, Device* device);

  // Every call once; appends their times where `times` is not null.
  absl::Status Round(CallTimes* times);
  // Scratch and packed bytes of the call, by index into CallTable::calls(); of calls of other ranks empty.
  const std::vector<KernelNeeds>& needs() const { return needs_; }

 private:
  struct TimedCall {
    const Kernel* kernel = nullptr;
    KernelArgs args;
    void* packed = nullptr;                // where Pack writes; nullptr: Run
    int index = 0;                         // into CallTable::calls()
    const std::string* arrival = nullptr;  // no call: these bytes come to `to`
    void* to = nullptr;
  };

  Replay(const proto::ExecutionPlan& plan, const CallTable& table, int rank, bool processor_time, Arena arena,
         std::unique_ptr<Stream> stream);
  absl::Status Run(const TimedCall& call) const;
  absl::Status Bind();
  absl::Status FillParameters();
  void AddArrival(const TensorSpec& spec, void* to);
  void AddProgram(const BoundProgram& program, uint32_t micro_batches);
  absl::Status AddOptimizer();
  void AddPacks();
  absl::StatusOr<const Kernel*> KernelFor(int index);

  const proto::ExecutionPlan& plan_;
  const CallTable& table_;
  const int rank_;
  const bool processor_time_;
  Arena arena_;
  std::unique_ptr<Stream> stream_;
  Binding binding_;
  Buffer side_;                               // hyper, sums and scratch of the optimizer's kernels
  std::vector<std::vector<void*>> pointers_;  // of the optimizer's calls; never resized once args point into them
  std::vector<TimedCall> calls_;
  std::vector<KernelNeeds> needs_;
  std::map<std::string, std::unique_ptr<std::string>> arrivals_;  // by type and shape
};

}  // namespace millrace

#endif  // RUNTIME_PROFILE_REPLAY_H_
