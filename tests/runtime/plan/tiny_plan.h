// A small pipelined plan made by hand, without the partitioner: what the tests of runtime/plan read and spoil.
#ifndef TESTS_RUNTIME_PLAN_TINY_PLAN_H_
#define TESTS_RUNTIME_PLAN_TINY_PLAN_H_

#include "proto/plan.pb.h"

namespace millrace {

struct TinyPlanOptions {
  int stages = 3;  // one per rank, at least 2
  int micro_batches = 4;
  bool gpipe = false;                                      // else 1F1B
  bool split = true;                                       // B and W apart, else BW
  double forward = 1, backward = 1, weight = 1, send = 0;  // seconds
};

// Stage s computes y = x * w<s> on f32[2,4]; the first and the last also add the tied parameter "tied" before that.
// The last sums y into the metrics. Program "train", sealed; VerifyPlan accepts it.
//
// Pools of rank s: 0 "in" (LOADED or RECEIVED x), 1 "out" (SENT y; not on the last rank), then "dy" (RECEIVED, on the
// last rank STASH_BW or STASH_FB), then "dx" (SENT; not on rank 0). Persistent offsets, equal on all ranks: below.
proto::ExecutionPlan TinyPlan(const TinyPlanOptions& options);

namespace tiny {
inline constexpr uint64_t kWeight = 0, kTied = 256, kGradient = 512, kTiedGradient = 768, kStates = 1024,
                          kTiedStates = 1536, kLossSum = 2048, kLossCount = 2304, kStaging = 2560, kTransient = 2816;
}  // namespace tiny

}  // namespace millrace

#endif  // TESTS_RUNTIME_PLAN_TINY_PLAN_H_
