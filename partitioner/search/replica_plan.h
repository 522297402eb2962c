// One replica of a configuration as an ExecutionPlan, for machines that there are only on paper.
#ifndef PARTITIONER_SEARCH_REPLICA_PLAN_H_
#define PARTITIONER_SEARCH_REPLICA_PLAN_H_

#include "absl/status/statusor.h"
#include "partitioner/paper/machine.h"
#include "partitioner/search/configuration.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// A rank of the plan stands for one tensor-parallel group: a device t times as fast, named after its first and last
// member ("device 8 to 15"), joined to the next by the link that the placement gives them. Replicas, sharding and the
// all-reduces inside a group are not in the plan: it says what one pipeline does, in which order and when. Kernels
// compute in float32 without scratch; Attention never keeps its scores, which is what selective recomputation is for,
// so that asks for nothing here. No memory limit is enforced. Sealed, not verified.
absl::StatusOr<proto::ExecutionPlan> MakeReplicaPlan(const proto::Model& model, const Configuration& configuration,
                                                     const PaperMachine& machine);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_REPLICA_PLAN_H_
