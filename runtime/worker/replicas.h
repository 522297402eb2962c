// What the replicas of a rank do with tensors that they divide: add up gradients, each its piece, in the order of their
// ranks, and give each other what only one of them has.
//
// A direct reduce-scatter: every replica sends every other one that one's piece and adds up its own. The bytes are
// those of a ring; the order of the sum does not depend on who is quick (docs/replicas.md).
#ifndef RUNTIME_WORKER_REPLICAS_H_
#define RUNTIME_WORKER_REPLICAS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/shards.h"
#include "runtime/worker/replica_work.h"
#include "runtime/worker/step_kernels.h"

namespace millrace {

// A tensor of which every replica has a piece of its own.
struct DividedTensor {
  const proto::PlannedParameter* parameter = nullptr;
  std::vector<const ShardPiece*> pieces;  // by replica; nullptr: none
  uint64_t element_bytes = 0;
  char* whole = nullptr;  // of this replica
  char* piece = nullptr;  // of this replica: inside the whole, or elsewhere
  uint64_t name = 0;      // < 2^28, the same on all replicas; tells tensors of one exchange apart
};

// Of one rank.
class Replicas {
 public:
  Replicas(const proto::ExecutionPlan& plan, int rank);

  int count() const { return static_cast<int>(ranks_.size()); }
  int me() const { return me_; }

  enum class Purpose { kScatter = 0, kGatherGradients = 1, kGatherWeights = 2, kRunScatter = 3, kChunk = 4 };

  // The pieces of `tensors` inside their wholes become sums over the replicas. What arrives stands at `staging`, in
  // `stride` bytes for each other replica. `kernels` must outlive the part.
  absl::StatusOr<ReplicaWork::Part> AddUp(const std::vector<DividedTensor>& tensors, Purpose purpose, uint64_t group,
                                          char* staging, uint64_t stride, StepKernels* kernels) const;
  // The wholes get all pieces of the others; this replica's is not copied into its own.
  ReplicaWork::Part Gather(const std::vector<DividedTensor>& tensors, Purpose purpose, uint64_t group) const;

 private:
  std::vector<int> ranks_;  // in the order of the sum
  int me_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_REPLICAS_H_
