// What a rank does to parameters: REDUCE, NORM, STEP and GATHER on buckets.
//
// Works on the arena with the backend's own kernels. REDUCE and GATHER are made ready as ReplicaWork; NORM and STEP run
// at once.
#ifndef RUNTIME_WORKER_STEP_H_
#define RUNTIME_WORKER_STEP_H_

#include <cstdint>
#include <functional>
#include <map>
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
#include "runtime/optimizer/exact_sum.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/arena.h"
#include "runtime/worker/kernel_cache.h"
#include "runtime/worker/owned.h"
#include "runtime/worker/replica_work.h"
#include "runtime/worker/replicas.h"
#include "runtime/worker/step_kernels.h"
#include "runtime/worker/worker.h"

namespace millrace {

// Used by the rank's thread only.
class StepRunner {
 public:
  // FAILED_PRECONDITION when a bucket does not fit together. Everything passed in must outlive the result.
  static absl::StatusOr<std::unique_ptr<StepRunner>> Make(const proto::ExecutionPlan& plan, int rank,
                                                          const Arena& arena, KernelCache* kernels,
                                                          Communicator* communicator);

  // REDUCE: places in graph order, then, with sums over micro-batches first, replicas in rank order. The result stands
  // where NORM looks for it.
  ReplicaWork& reduce(int bucket) { return buckets_[bucket]->reduce; }
  // GATHER: weights that others have stepped.
  ReplicaWork& gather(int bucket) { return buckets_[bucket]->gather; }
  // REDUCE of what one RUN wrote, and GATHER of a chunk; nullptr where the plan has no use for one. One for each stage
  // and phase, made when it is first asked for; before Allocate.
  absl::StatusOr<ReplicaWork*> reduce_run(const proto::StageProgram& stage, proto::Phase phase);
  absl::StatusOr<ReplicaWork*> gather_chunk(int program, const proto::StageProgram& stage);
  // Memory for the kernels asked for so far.
  absl::Status Allocate() { return kernels_.Allocate(arena_.device()); }

  // `result` has this rank's loss and count and gets those of all ranks, and the norm.
  absl::Status Norm(Stream& stream, const StepSettings& settings, bool check_finite, StepResult* result);
  absl::Status Step(Stream& stream, int bucket);

  // Nanoseconds that NORM since the last TakeWaited spent waiting for other ranks.
  int64_t TakeWaited() { return std::exchange(waited_, 0); }

  // Sums of gradients as they stood before NORM, from the next step on.
  void KeepGradients(bool keep) { keep_gradients_ = keep; }
  absl::Status ReadGradient(int parameter, void* memory, uint64_t bytes) const;
  // Weights and states have come from outside. Masters are taken from weights that came without.
  void Wrote(int parameter, int state);  // -1: the weight
  absl::Status TakeMasters(Stream& stream);
  // Optimizer state and gradients on this rank become zero.
  absl::Status ZeroState(Stream& stream);

  // What of a tensor is kept here.
  struct TensorPart {
    char* at = nullptr;
    uint64_t first = 0;  // byte of the tensor
    uint64_t bytes = 0;
  };
  // None when this rank is not the owner or the optimizer has no state k.
  absl::optional<TensorPart> State(int parameter, int k) const;
  uint64_t StateBytes(int parameter) const;  // of the whole tensor
  // Of the weight. NOT_FOUND when this rank has no copy.
  absl::StatusOr<TensorPart> Weight(int parameter) const;

 private:
  struct Memory {
    void* at = nullptr;
    uint64_t bytes = 0;
  };
  struct BoundBucket {
    explicit BoundBucket(Communicator* communicator) : reduce(communicator), gather(communicator) {}

    std::vector<Owned> owned;
    ReplicaWork reduce, gather;
    std::vector<Memory> others;  // of gradients that STEP zeroes, because other replicas step them
  };
  // What REDUCE does before replicas come in.
  struct Places {
    std::vector<Transfer> transfers;
    std::vector<Memory> cleared;
  };

  StepRunner(const proto::ExecutionPlan& plan, int rank, const Arena& arena, KernelCache* kernels,
             Communicator* communicator);

  absl::Status SumSquares(Stream& stream, ExactSum* sum);
  absl::Status CopyGradients(Stream& stream);
  absl::Status BindBucket(int index);
  absl::Status BindOwned(int index, BoundBucket* bound);
  absl::Status BindPlaces(int index, BoundBucket* bound, Places* places);
  void SendUse(int bucket, int member, int slot, char* gradient, const ShardPiece* piece, Places* places) const;
  absl::Status TakeUse(int bucket, int member, int slot, int from, const ShardPiece* piece, Owned* owned,
                       Places* places) const;
  absl::Status BindGather(int index, BoundBucket* bound);
  absl::Status CopyWeight(int parameter, int there, uint64_t tag, ReplicaWork::Part* copies) const;
  absl::Status BindParts(const proto::Bucket& bucket, int member, Owned* owned);
  absl::Status BindStates(const proto::Bucket& bucket, int member, Owned* owned);
  absl::Status BindKernels(Owned* owned);
  absl::Status BindOthers(BoundBucket* bound);
  absl::Status MakeReduce(int index, Places places, BoundBucket* bound);
  std::function<absl::Status(Stream&)> TakePieces(BoundBucket* bound);
  absl::Status FindZeroed();

  bool replicas_first() const { return ReplicasFirst(plan_); }
  int level() const { return static_cast<int>(plan_.shard_optimizer()); }
  bool owns(const proto::Bucket& bucket) const { return static_cast<int>(bucket.owner()) == place_; }
  const proto::ParameterPlace* PlaceHere(const proto::PlannedParameter& parameter) const;  // nullptr: none
  BucketMember MemberAt(int bucket, int member) const {
    return {static_cast<int>(plan_.buckets(bucket).parameters(member)), bucket, member};
  }
  const ShardPiece* MyPiece(int bucket, int member) const;
  std::vector<DividedTensor> Divided(int index, const BoundBucket& bound, bool weights) const;
  int StatesOf(const Owned& owned) const;
  const Owned* FindOwned(int parameter) const;
  Owned* FindOwned(int parameter) { return const_cast<Owned*>(std::as_const(*this).FindOwned(parameter)); }

  const proto::ExecutionPlan& plan_;
  const int rank_;
  const int place_;
  const Arena& arena_;
  Communicator* const communicator_;
  const Chunks chunks_;
  const Replicas replicas_;
  StepKernels kernels_;
  std::vector<std::unique_ptr<BoundBucket>> buckets_;
  std::map<std::pair<int, int>, std::unique_ptr<ReplicaWork>> run_reduces_;    // by (stage, phase)
  std::map<std::pair<int, int>, std::unique_ptr<ReplicaWork>> chunk_gathers_;  // by (program, stage)
  std::vector<Memory> zeroed_;                                                 // gradients on this rank
  std::vector<double> host_sums_;
  std::string gathered_;
  bool keep_gradients_ = false, kept_ = false;
  int64_t waited_ = 0;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_STEP_H_
