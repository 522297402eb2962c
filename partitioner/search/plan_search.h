// The search for plans that this build can run: no tensor parallelism, every candidate really cut, lowered and
// simulated. Devices may differ in speed and memory.
#ifndef PARTITIONER_SEARCH_PLAN_SEARCH_H_
#define PARTITIONER_SEARCH_PLAN_SEARCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/partition.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"

namespace millrace {

struct PlanQuestion {
  PartitionOptions options;  // cluster, costs, optimizer; what is fixed below is taken from it
  int64_t global_batch = 0;  // samples of a step
  bool fixed_pp = false, fixed_micro_batch = false, fixed_schedule = false, fixed_recompute = false;
  bool fixed_sharding = false;  // options.shard_optimizer, where there are replicas
  int fixed_replicas = 0;       // 0: any
};

struct PlanCandidate {
  int pp = 1;
  int replicas = 1;
  int shard_optimizer = 0;
  int64_t micro_batch = 1, micro_batches = 1;
  std::string schedule, recompute;
  double seconds = 0;  // predicted step
  double bubble = 0;
  uint64_t largest_arena = 0;
  std::string lost;  // why it is not the answer

  int ranks() const { return pp * replicas; }
  std::string ToString() const;
};

struct PlanSearchAnswer {
  proto::ExecutionPlan plan;           // of the first one in `ranked`; sealed, not verified
  std::vector<PlanCandidate> ranked;   // fastest first
  std::vector<PlanCandidate> refused;  // do not fit or cannot be made: `lost` says why
};

// First 1F1B for every number of stages and replicas (together at most 16 ranks) and every micro-batch that divides the
// batch; the optimizer state divided among replicas, and then all stages recomputed, where it does not fit without
// (levels 2 and 3 save memory where a rank has several chunks, which 1F1B has not: they are planned where they are
// fixed); then, for the three fastest, every kind of schedule. Deterministic. Errors are those of Partition, where nothing at
// all can be planned.
absl::StatusOr<PlanSearchAnswer> SearchPlans(const proto::Model& model, const PlanQuestion& question,
                                             const KernelNeedsFn& needs);

}  // namespace millrace

#endif  // PARTITIONER_SEARCH_PLAN_SEARCH_H_
