// Every micro-batch runs once in every phase, in order; every step of the optimizer happens once, in order.
#ifndef RUNTIME_PLAN_VERIFY_COMPLETENESS_H_
#define RUNTIME_PLAN_VERIFY_COMPLETENESS_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/dataflow.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Rules `completeness` and `order` over RUN and LOAD. Where a stage has BW as well as B and W, each micro-batch goes
// one way or the other.
absl::Status CheckMicroBatches(const proto::Program& program, const Wiring& wiring);

// Rules `completeness` and `order` over REDUCE, NORM, STEP, GATHER, PREPARE of a program that trains (one that has a
// backward phase or any of those instructions).
absl::Status CheckSteps(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring,
                        const Footprints& footprints, WorkBudget* budget);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_COMPLETENESS_H_
