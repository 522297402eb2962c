// What a RUN touches, worked out once per stage and phase: the calls in order, seen from outside.
// Rules `read-before-write` and `unordered-bytes` between the calls of one RUN, `accumulation-order` (an accumulator
// that is overwritten).
#ifndef RUNTIME_PLAN_VERIFY_FOOTPRINT_H_
#define RUNTIME_PLAN_VERIFY_FOOTPRINT_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/layout.h"

namespace millrace {

// Bytes of one slot: the slot is the instruction's `slots[position]`, the atom one of that pool's.
struct Touch {
  int position = 0;
  int atom = 0;
  int value = 0;  // index into ProgramLayout.values
};

struct Footprint {
  std::vector<Touch> reads;            // before the RUN itself writes those bytes
  std::vector<Touch> writes;           // each atom once, with the last value written there
  std::vector<uint64_t> accumulators;  // addresses added into, GRADIENT and METRIC
  // The largest, over the calls, of the scratch values alive and the kernel's own scratch, each rounded up to 256.
  uint64_t scratch_bytes = 0;
};

// Checking takes time in proportion to the bytes' pieces that calls and instructions touch. Real plans need some
// millions of steps; plans made to waste time are refused.
struct WorkBudget {
  int64_t steps = int64_t{2} << 30;
  bool Spend(int64_t count) {
    steps -= count;
    return steps >= 0;
  }
};

absl::StatusOr<Footprint> FootprintOf(const proto::Program& program, const ProgramLayout& layout, int rank, int stage,
                                      const proto::PhaseProgram& phase, WorkBudget* budget);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_FOOTPRINT_H_
