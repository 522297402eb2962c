// Follows every byte of a rank's pools through its list: rules `read-before-write`, `slot-in-use`, `unordered-bytes`,
// `accumulation-order`, and from the lives of the slots `live-bytes`.
#ifndef RUNTIME_PLAN_VERIFY_DATAFLOW_H_
#define RUNTIME_PLAN_VERIFY_DATAFLOW_H_

#include <vector>

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/footprint.h"
#include "runtime/plan/verify/layout.h"
#include "runtime/plan/verify/persistent.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// footprints[stage][index of the phase in the stage]
using Footprints = std::vector<std::vector<Footprint>>;

absl::Status CheckDataflow(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring, const ProgramLayout& layout,
                           const PersistentMemory& memory, const Footprints& footprints, int rank, WorkBudget* budget);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_DATAFLOW_H_
