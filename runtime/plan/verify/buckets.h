// Parameters and the buckets that step them: indices, and which bytes they occupy on which rank.
#ifndef RUNTIME_PLAN_VERIFY_BUCKETS_H_
#define RUNTIME_PLAN_VERIFY_BUCKETS_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/persistent.h"

namespace millrace {

// Rule `index`: places on known ranks, uses numbered 0, 1, 2, ... with the first on the owner.
absl::Status AddParameters(const proto::ExecutionPlan& plan, PersistentMemory* memory);

// Rule `index`: parameters, states and staging as many as there must be; rule `matching`: the group is exactly the
// ranks that hold a copy; rule `completeness`: every trainable parameter in one bucket.
absl::Status AddBuckets(const proto::ExecutionPlan& plan, PersistentMemory* memory);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_BUCKETS_H_
