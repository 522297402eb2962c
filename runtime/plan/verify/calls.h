// Rules `known-op` and `shapes` over every kernel call, and what is known of operators beyond their shapes.
#ifndef RUNTIME_PLAN_VERIFY_CALLS_H_
#define RUNTIME_PLAN_VERIFY_CALLS_H_

#include <vector>

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Every call's operator exists and accepts its values' types (kernels/op_rules.h).
absl::Status CheckCalls(const proto::Program& program, const Wiring& wiring);

// Packed weights that a call reads are made by a PREPARE of some program on the same rank (rule `read-before-write`),
// and two calls that share a packing share the weights it is made from (rule `overlap`).
absl::Status CheckPacking(const proto::ExecutionPlan& plan, const std::vector<Wiring>& wirings);

// Does the call add into this output rather than overwrite it? (the += of docs/operators.md)
bool Accumulates(const proto::KernelCall& call, int output);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_CALLS_H_
