// The engine under the simulator and the pictures: runs a program's lists against the clock.
#ifndef RUNTIME_PLAN_PLAY_H_
#define RUNTIME_PLAN_PLAY_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/durations.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// When an instruction's turn came on its channel, when its work began (everything in `after` done and, for what meets,
// all parties there), and when it was done.
struct PlayedSpan {
  double turn = 0;
  double begin = 0;
  double end = 0;
};

// One instruction of each channel at a time, every channel as early as it can. What meets nobody occupies its rank's
// threads, and ranks of one group compete for its cores (runtime/plan/fluid.h); transfers and collectives occupy none.
// Transfers of one wire share its bandwidth by the same rule, after their latency. Result by rank and instruction.
// FAILED_PRECONDITION names where each stuck rank stands when the lists deadlock.
absl::StatusOr<std::vector<std::vector<PlayedSpan>>> Play(const proto::Program& program, const Wiring& wiring,
                                                          const Durations& durations);

}  // namespace millrace

#endif  // RUNTIME_PLAN_PLAY_H_
