// Rules of Wire about replicas, and about what begins inside a RUN.
#ifndef RUNTIME_PLAN_WIRING_RULES_H_
#define RUNTIME_PLAN_WIRING_RULES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// A REDUCE of what one RUN has written.
bool IsOfRun(const proto::Instruction& instruction);

// Ranks whose lists a place's instructions stand in: of several pipelines the first one's is written.
std::vector<int> ListsAt(const proto::ExecutionPlan& plan, uint32_t place);

// Rule `one-rank`: stage `s` says which replica its rank is.
absl::Status CheckStageReplica(const proto::ExecutionPlan& plan, const proto::Program& program, int rank, int s);

// Rule `index`: `begins` names a place inside an earlier RUN. `wiring` has the stages' phases.
absl::Status CheckBegins(const proto::Program& program, const Wiring& wiring, int rank, int i);

// Rule `matching`: replicas that meet mean the same phase of the same round of micro-batches.
absl::Status CheckChunkMeeting(const proto::Program& program, const Where& here, const Meeting& meeting,
                               const proto::Instruction& first);

}  // namespace millrace

#endif  // RUNTIME_PLAN_WIRING_RULES_H_
