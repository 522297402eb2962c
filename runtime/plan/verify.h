// The first interpreter of a plan: proves that it can run, or names the first broken rule and its place.
#ifndef RUNTIME_PLAN_VERIFY_H_
#define RUNTIME_PLAN_VERIFY_H_

#include "absl/status/status.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// INVALID_ARGUMENT with "rule NAME: rank R, instruction I (RUN 1F3): what, why". Never crashes, whatever the bytes:
// every offset, extent and index is checked before it is used. The rules, by name, are listed in docs/plan.md:
//   version, index, extent, alignment, overlap, capacity, known-op, shapes, completeness, order, one-rank,
//   accumulation-order, read-before-write, slot-in-use, unordered-bytes, rendezvous (deadlock), matching, live-bytes
absl::Status VerifyPlan(const proto::ExecutionPlan& plan);

// FAILED_PRECONDITION unless the plan was made for this model.
absl::Status VerifyPlanIsFor(const proto::ExecutionPlan& plan, const proto::Model& model);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_H_
