// One program of a plan, from its source.
#ifndef PARTITIONER_LOWER_LOWER_PROGRAM_H_
#define PARTITIONER_LOWER_LOWER_PROGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/lower/comm_order.h"
#include "partitioner/lower/persistent.h"
#include "partitioner/lower/program_source.h"
#include "proto/plan.pb.h"

namespace millrace {

struct LoweredProgram {
  proto::Program program;
  std::vector<uint64_t> transient_bytes;  // by rank: pools, then scratch, from the end of the persistent regions on
  // By rank of the program, where stages have replicas of their own: RunReduce.before is an index into its list.
  std::vector<std::vector<RunReduce>> reduces;
};

// Rank r is device r of `costs`. INVALID_ARGUMENT when the schedule deadlocks.
absl::StatusOr<LoweredProgram> LowerProgram(const ProgramSource& source, const Persistent& persistent,
                                            const CostModel& costs);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_LOWER_PROGRAM_H_
