// What replicas do together with one bucket: they add their gradients, each its shard, in the order of their ranks, and
// give each other what only one of them has.
//
// A direct reduce-scatter: every replica sends every other one that one's shard and adds up its own. The bytes are
// those of a ring; the order of the sum does not depend on who is quick (docs/replicas.md).
#ifndef RUNTIME_WORKER_REPLICAS_H_
#define RUNTIME_WORKER_REPLICAS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/plan/shards.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/kernel_cache.h"

namespace millrace {

// A parameter of the bucket as it lies on its owner, the same on every replica.
struct ReplicaMember {
  int parameter = -1;
  char* gradient = nullptr;     // the summed accumulator of this replica
  uint64_t gradient_bytes = 0;  // of an element
  char* weight = nullptr;
  uint64_t weight_bytes = 0;  // of an element
};

// Used by the rank's thread only.
class ReplicaBucket {
 public:
  // FAILED_PRECONDITION when the plan gives too little memory. Everything passed in must outlive the result.
  static absl::StatusOr<ReplicaBucket> Bind(const proto::ExecutionPlan& plan, int bucket, int rank, const Arena& arena,
                                            const std::vector<ReplicaMember>& members, KernelCache* kernels);

  const std::vector<ShardPiece>& mine() const { return mine_; }  // this replica's
  uint64_t most_scratch() const { return most_scratch_; }

  // First the transfers of `scatter`, then the sums; afterwards this replica's pieces hold the sum over all.
  const std::vector<Transfer>& scatter() const { return scatter_; }
  using RunFn = std::function<absl::Status(const Kernel& kernel, void* const* inputs, void* const* outputs)>;
  absl::Status Sum(const RunFn& run) const;

  // Afterwards every replica has every piece.
  const std::vector<Transfer>& gather_gradients() const { return gather_gradients_; }
  const std::vector<Transfer>& gather_weights() const { return gather_weights_; }

 private:
  struct Addition {
    const Kernel* kernel = nullptr;
    void* from = nullptr;
    void* to = nullptr;
  };

  std::vector<ShardPiece> mine_;
  std::vector<Transfer> scatter_, gather_gradients_, gather_weights_;
  std::vector<Addition> additions_;
  uint64_t most_scratch_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_REPLICAS_H_
