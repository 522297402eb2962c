// Chunks in time: what a RUN wrote is reduced before anything else is written there, and a RUN finds its weights whole
// and packed; replicas of a stage name what they sum and gather alike. Rules `completeness`, `order`, `unordered-bytes`,
// `matching`.
#ifndef RUNTIME_PLAN_VERIFY_CHUNK_ORDER_H_
#define RUNTIME_PLAN_VERIFY_CHUNK_ORDER_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Of all ranks of the program. Does nothing where sums are over micro-batches first.
absl::Status CheckChunkOrder(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_CHUNK_ORDER_H_
