// The chain of instructions that decides how long a step takes.
#ifndef RUNTIME_PLAN_CRITICAL_PATH_H_
#define RUNTIME_PLAN_CRITICAL_PATH_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"

namespace millrace {

struct PathStep {
  int rank = 0;
  int instruction = 0;
  double begin = 0, end = 0;  // of the work, waiting left out
};

// From the first instruction to the one that ends last; each began when the one before it ended: the one before on its
// channel, one of its `after`, or the same of a party that it met. Ties go to the earlier of these. From a measured
// trace the gaps between steps are what the instructions do not explain. Errors are Wire's; INVALID_ARGUMENT for a
// span that is no instruction of the program.
absl::StatusOr<std::vector<PathStep>> CriticalPath(const proto::ExecutionPlan& plan, const proto::StepTrace& trace);

}  // namespace millrace

#endif  // RUNTIME_PLAN_CRITICAL_PATH_H_
