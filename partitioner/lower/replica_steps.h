// What replicas do together while micro-batches are still under way: written into the lists that lowering has made, on
// channels of their own, so that it goes on beside the RUNs.
#ifndef PARTITIONER_LOWER_REPLICA_STEPS_H_
#define PARTITIONER_LOWER_REPLICA_STEPS_H_

#include <vector>

#include "partitioner/cost/cost_model.h"
#include "partitioner/lower/comm_order.h"
#include "proto/plan.pb.h"

namespace millrace {

// The REDUCE of a bucket that one rank alone holds begins inside the last RUN that adds to it, behind the last call
// that does, and NORM waits for it; it stands behind that RUN or where `places` (by rank) say. For sums over
// micro-batches first. `plan` has parameters and buckets.
void ReduceEarly(const proto::ExecutionPlan& plan, const std::vector<std::vector<RunReduce>>& places,
                 proto::Program* program);

// A REDUCE of what each RUN has written, behind that RUN or where `places` (by rank) say; whatever writes to the same
// bytes again waits for it. For sums over replicas first.
void ReduceRuns(const proto::ExecutionPlan& plan, const CostModel& costs,
                const std::vector<std::vector<RunReduce>>& places, proto::Program* program);

// GATHER before the first RUN of a chunk, PREPARE once it is there, RELEASE behind the last RUN before another chunk
// needs the buffer; the next one's GATHER begins there. Where parameters are divided.
void GatherChunks(const proto::ExecutionPlan& plan, const CostModel& costs, proto::Program* program);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_REPLICA_STEPS_H_
