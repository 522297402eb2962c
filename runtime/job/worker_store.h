// The parameters and optimizer state of all ranks as one store of tensors: what checkpoints and weight files see. In a
// process that runs some of the ranks it lists everything, but only what is here can be read and written.
#ifndef RUNTIME_JOB_WORKER_STORE_H_
#define RUNTIME_JOB_WORKER_STORE_H_

#include <vector>

#include "proto/plan.pb.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/job/ranks.h"

namespace millrace {

// Parameters in the plan's order, constants left out, then, when asked for, each trainable one's optimizer state, named
// "adamw.m/<parameter>" and so on. Reads come from the owner, FAILED_PRECONDITION when it is in another process; a
// parameter is written to every rank here that has a copy, of every replica (Worker::PrepareWeights must follow). Used
// between two Ranks::Each; plan and ranks must outlive it.
class WorkerStore : public ParameterStore {
 public:
  WorkerStore(const proto::ExecutionPlan& plan, Ranks& ranks, bool with_state);

  const std::vector<NamedTensor>& tensors() const override { return tensors_; }
  int rank(int tensor) const override { return entries_[tensor].rank; }
  bool is_here(int tensor) const override;
  absl::StatusOr<std::vector<TensorPart>> parts() const override;
  absl::Status ReadPart(const TensorPart& part, void* memory, uint64_t bytes) const override;
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override;
  absl::Status Write(int tensor, const void* memory, uint64_t bytes) override;

 private:
  struct Entry {
    int rank;
    int parameter;
    int state;  // -1: the parameter itself
  };

  std::vector<int> RanksOf(const Entry& entry) const;  // that have some of it, in all processes
  bool IsDivided(const Entry& entry) const;            // has every replica only its piece?
  absl::Status ReadFrom(int rank, const Entry& entry, void* memory, uint64_t bytes) const;

  const proto::ExecutionPlan& plan_;
  Ranks& ranks_;
  std::vector<NamedTensor> tensors_;
  std::vector<Entry> entries_;
};

}  // namespace millrace

#endif  // RUNTIME_JOB_WORKER_STORE_H_
