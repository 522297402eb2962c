// --schedule=auto: every kind of schedule is lowered and timed, and the best one taken.
#ifndef PARTITIONER_CHOOSE_SCHEDULE_H_
#define PARTITIONER_CHOOSE_SCHEDULE_H_

#include "absl/status/statusor.h"
#include "partitioner/partition.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// Partition, without looking for another way where memory does not suffice.
absl::StatusOr<proto::ExecutionPlan> PartitionAsAsked(const proto::Model& model, const PartitionOptions& options,
                                                      const KernelNeedsFn& needs);

// The plan with the shortest predicted step among the kinds that can be made of this graph and fit the memory of the
// devices; of equally short ones (to one part in a million) the one whose largest arena is smallest, then the one that
// ScheduleKinds() names first. `considered` of the options is told what all came to, `dump` what the passes of the
// chosen one made. When no kind can be had, the error is that of the first; where that is memory, the kind that lacks
// least is told, with what each of the others lacks. An error of the graph is told as it is.
absl::StatusOr<proto::ExecutionPlan> ChooseSchedule(const proto::Model& model, const PartitionOptions& options,
                                                    const KernelNeedsFn& needs);

}  // namespace millrace

#endif  // PARTITIONER_CHOOSE_SCHEDULE_H_
