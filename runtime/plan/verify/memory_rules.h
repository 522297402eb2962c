// Where the transient things of a program may lie.
#ifndef RUNTIME_PLAN_VERIFY_MEMORY_RULES_H_
#define RUNTIME_PLAN_VERIFY_MEMORY_RULES_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/persistent.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Pools and scratch inside the transient region and apart from each other; values inside their slot or range and as
// long as their type says; calls and edges that name only what there is. After this every index of a stage program
// may be used unchecked.
absl::Status CheckTransientMemory(const proto::Program& program, const Wiring& wiring, const PersistentMemory& memory);

// Instructions name exactly the slots that they need: a RUN one of each of its phase's pools in the same order, a LOAD
// one of each pool of the stage's LOADED values, a SEND or RECV that of its value. Needs CheckTransientMemory.
absl::Status CheckSlots(const proto::Program& program);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_MEMORY_RULES_H_
