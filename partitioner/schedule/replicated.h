// Schedules of pipelines whose stages have replicas of their own, which take the micro-batches in turn. After
// PipeDream's 1F1B-RR (Harlap et al., arXiv:1806.03377, section 3.2).
//
//   3 replicas, then 1      rank 0  F0 F3 B0 B3
//                           rank 1  F1 F4 B1 B4
//                           rank 2  F2 F5 B2 B5
//                           rank 3  F0 B0 F1 B1 F2 B2 ...
#ifndef PARTITIONER_SCHEDULE_REPLICATED_H_
#define PARTITIONER_SCHEDULE_REPLICATED_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/plan/action.h"

namespace millrace {

// `replicas` of each stage, at least 1; every replica is a stage of the schedule with a rank of its own, those of one
// stage side by side. Kinds: "gpipe" and "1f1b"; with 1f1b a replica holds as many micro-batches as keep all ranks
// behind it busy. INVALID_ARGUMENT for another kind, and for micro-batches that do not divide evenly among the
// replicas of every stage. `meet`: the replicas of a stage add up gradients after each pass, so that none begins the
// pass of its next micro-batch before all have ended that of this one.
absl::StatusOr<Schedule> ReplicatedSchedule(const std::string& kind, const std::vector<int>& replicas,
                                            int micro_batches, bool meet);

// Forward passes only, on the stages and ranks of `train`.
Schedule ReplicatedForward(const Schedule& train, int micro_batches);

}  // namespace millrace

#endif  // PARTITIONER_SCHEDULE_REPLICATED_H_
