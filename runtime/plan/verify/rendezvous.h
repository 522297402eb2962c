// Freedom from deadlock on the strictest machine: each rank's list is one queue, executed one instruction at a time,
// and what meets completes only when all parties stand at it. The real machine is never stricter.
#ifndef RUNTIME_PLAN_VERIFY_RENDEZVOUS_H_
#define RUNTIME_PLAN_VERIFY_RENDEZVOUS_H_

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Rule `rendezvous`: the message shows each rank's list around where it stands and the cycle of waits in words.
absl::Status CheckRendezvous(const proto::Program& program, const Wiring& wiring);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_RENDEZVOUS_H_
