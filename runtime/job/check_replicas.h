// Do all replicas still hold the same weights? They compute the same, so a difference is a fault of a machine, of a
// transport or of this program, and every further step would be wrong.
#ifndef RUNTIME_JOB_CHECK_REPLICAS_H_
#define RUNTIME_JOB_CHECK_REPLICAS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/plan.pb.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Compares the SHA-256 of the weights of each rank with those of its replicas. Every process calls it, as in agree.h.
// DATA_LOSS names the rank that drifted, the one that differs from most, or both where two stand against each other.
absl::Status CheckReplicas(const proto::ExecutionPlan& plan, Ranks* ranks);

// The same of digests, one for each rank.
absl::Status CheckDigests(const proto::ExecutionPlan& plan, const std::vector<std::string>& digest_of_rank);

}  // namespace millrace

#endif  // RUNTIME_JOB_CHECK_REPLICAS_H_
