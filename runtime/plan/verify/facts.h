// What a plan says of itself beyond its instructions: degrees, predictions, first values.
#ifndef RUNTIME_PLAN_VERIFY_FACTS_H_
#define RUNTIME_PLAN_VERIFY_FACTS_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"

namespace millrace {

// "index": pp times dp are the ranks, there is a program, links join ranks that there are, sum_order and the
// initializers are of kinds that this build knows. "figures": every predicted time and rate is a number, 0 or more, so that what is made from them is one.
absl::Status CheckFacts(const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_FACTS_H_
