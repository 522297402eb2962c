// The loss on data that the run does not train on.
#ifndef RUNTIME_JOB_EVALUATE_H_
#define RUNTIME_JOB_EVALUATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/data/data_source.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Feeds a program with a source: the samples of (step, micro-batch) follow those of the micro-batch before. The source
// must outlive the function.
LoadFn FeedOf(const DataSource& source, const proto::ExecutionPlan& plan, const proto::Program& program);

struct HeldOutLoss {
  double loss = 0;   // mean
  double count = 0;  // over how many tokens (or samples)
};

// Runs `eval` on the first `micro_batches` micro-batches of the source, rounded up to whole runs of the program but not
// past the end of the source; always the same ones. Leaves its own feed behind. Every process calls it and gets the
// same.
absl::StatusOr<HeldOutLoss> Evaluate(const proto::ExecutionPlan& plan, const DataSource& source, uint64_t micro_batches,
                                     Ranks* ranks);

}  // namespace millrace

#endif  // RUNTIME_JOB_EVALUATE_H_
