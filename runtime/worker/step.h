// The instructions after the last micro-batch: REDUCE, NORM, STEP, GATHER on buckets of parameters.
//
// Works on the arena with the backend's own kernels. What they need beyond the arena (the hyper vector, block sums,
// scratch) lies in a small buffer of its own.
#ifndef RUNTIME_WORKER_STEP_H_
#define RUNTIME_WORKER_STEP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "kernels/device.h"
#include "proto/plan.pb.h"
#include "runtime/comm/communicator.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/kernel_cache.h"
#include "runtime/worker/replicas.h"
#include "runtime/worker/worker.h"

namespace millrace {

// Used by the rank's thread only.
class StepRunner {
 public:
  // FAILED_PRECONDITION when a bucket does not fit together. Everything passed in must outlive the result.
  static absl::StatusOr<std::unique_ptr<StepRunner>> Make(const proto::ExecutionPlan& plan, int rank,
                                                          const Arena& arena, KernelCache* kernels,
                                                          Communicator* communicator);

  // Each says what it waits for by `what`.
  using What = std::function<std::string()>;
  absl::Status Reduce(Stream& stream, int bucket, const What& what);
  // `result` has this rank's loss and count and gets those of all ranks, and the norm.
  absl::Status Norm(Stream& stream, const StepSettings& settings, bool check_finite, StepResult* result);
  absl::Status Step(Stream& stream, int bucket);
  absl::Status Gather(Stream& stream, int bucket, const What& what);

  // Nanoseconds that the calls since the last TakeWaited spent waiting for other ranks.
  int64_t TakeWaited() { return std::exchange(waited_, 0); }

  // Sums of gradients as they stood before NORM, from the next step on.
  void KeepGradients(bool keep) { keep_gradients_ = keep; }
  absl::Status ReadGradient(int parameter, void* memory, uint64_t bytes) const;
  // Optimizer state and gradients on this rank become zero.
  absl::Status ZeroState(Stream& stream);
  // What of a state tensor is kept here.
  struct StatePart {
    void* at = nullptr;
    uint64_t first = 0;  // byte of the tensor
    uint64_t bytes = 0;
  };
  // None when this rank is not the owner or the optimizer has no state k.
  absl::optional<StatePart> State(int parameter, int k) const;
  uint64_t StateBytes(int parameter) const;  // of the whole tensor

 private:
  struct Memory {
    void* at = nullptr;
    uint64_t bytes = 0;
  };
  // Elements of a parameter: all of them, or those of this replica's shard.
  struct Part {
    uint64_t first = 0;
    uint64_t elements = 0;
    uint64_t shard_offset = 0;  // bytes
    const Kernel* kernel = nullptr;
  };
  // A parameter that this rank owns.
  struct Owned {
    int parameter = -1;
    TensorSpec weight;            // flat
    TensorSpec gradient;          // flat
    char* sum = nullptr;          // the first accumulator, where the summed gradient stands after REDUCE
    std::vector<void*> summands;  // all uses in graph order; those of other ranks in staging
    const Kernel* accumulate = nullptr;
    Part normed, stepped;        // none of its elements: not here
    uint64_t blocks = 0;         // of `normed`
    std::vector<void*> outputs;  // of the optimizer's kernel: weight, gradient, states, each of `stepped`
    std::string kept;

    uint64_t BytesOf(uint64_t elements) const { return elements * static_cast<uint64_t>(SizeOf(gradient.dtype)); }
  };
  struct BoundBucket {
    std::vector<Owned> owned;
    std::vector<Transfer> reduce, gather;
    std::vector<Memory> cleared;             // accumulators that REDUCE zeroes here
    absl::optional<ReplicaBucket> replicas;  // on the owners, where there are replicas
    std::vector<Memory> others;              // of gradients that STEP zeroes, because other replicas step them
  };

  StepRunner(const proto::ExecutionPlan& plan, int rank, const Arena& arena, Communicator* communicator)
      : plan_(plan), rank_(rank), place_(rank % PipelineRanks(plan)), arena_(arena), communicator_(communicator) {}

  absl::Status BindBucket(int index, KernelCache* kernels);
  absl::Status BindReduce(int index, BoundBucket* bucket);
  absl::Status BindGather(int index, BoundBucket* bucket);
  absl::Status BindReplicas(int index, KernelCache* kernels, BoundBucket* bucket);
  absl::Status BindOwned(int index, int member, BoundBucket* bucket);
  absl::Status BindStates(const proto::Bucket& bucket, int member, Owned* owned);
  absl::Status BindKernels(KernelCache* kernels, Owned* owned);
  absl::StatusOr<const Kernel*> KernelFor(KernelCache* kernels, const OpDesc& desc);
  absl::Status AllocateSide();
  int InReplica(int place) const { return rank_ - place_ + place; }  // rank at that place of this pipeline
  int StatesOf(const Owned& owned) const;
  absl::Status AddReplicas(Stream& stream, const ReplicaBucket& replicas, const What& what);
  absl::Status Exchange(const std::vector<Transfer>& transfers, const What& what);
  absl::Status RunKernel(Stream& stream, const Kernel& kernel, void* const* inputs, void* const* outputs);
  const Owned* FindOwned(int parameter) const;

  const proto::ExecutionPlan& plan_;
  const int rank_;
  const int place_;  // in the pipeline
  const Arena& arena_;
  Communicator* const communicator_;
  std::vector<BoundBucket> buckets_;
  Buffer side_;
  char* hyper_ = nullptr;
  char* sums_ = nullptr;
  char* scratch_ = nullptr;
  uint64_t most_scratch_ = 0;
  uint64_t most_blocks_ = 0;
  std::vector<double> host_sums_;
  std::string gathered_;
  bool keep_gradients_ = false;
  int64_t waited_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_STEP_H_
