// The last pass: stages and schedules become instruction lists, values addresses.
#ifndef PARTITIONER_LOWER_LOWER_H_
#define PARTITIONER_LOWER_LOWER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "partitioner/cost/cost_model.h"
#include "partitioner/lower/persistent.h"
#include "partitioner/lower/program_source.h"
#include "proto/cluster.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

// Of a RESOURCE_EXHAUSTED: the bytes that are missing, in decimal digits.
inline constexpr char kMissingBytesPayload[] = "millrace/missing-bytes";

// Sets ranks, parameters, buckets and programs of `plan`, predictions included. The first program is the training one;
// all have the same rank_of_stage. Rank r runs on device r of the cluster; each replica has as many as the schedule.
// INVALID_ARGUMENT when a schedule deadlocks; RESOURCE_EXHAUSTED says which rank's arena exceeds its device most, and
// by how many bytes.
absl::Status Lower(const std::vector<ProgramSource>& programs, const proto::Cluster& cluster, const CostModel& costs,
                   const std::string& optimizer, const Replication& replication, proto::ExecutionPlan* plan);

// Bytes that a rank's arena is larger than its device's memory; 0 where it fits or there is no limit.
uint64_t MissingBytes(const proto::Rank& rank);

// What a plan comes to: memory of each rank, programs, edges. For --dump.
std::string LowerText(const proto::ExecutionPlan& plan);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_LOWER_H_
