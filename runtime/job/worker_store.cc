#include "runtime/job/worker_store.h"

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/plan_facts.h"
#include "runtime/plan/plan.h"

namespace millrace {

WorkerStore::WorkerStore(const proto::ExecutionPlan& plan, Ranks& ranks, bool with_state) : plan_(plan), ranks_(ranks) {
  for (int i = 0; i < plan.parameters_size(); ++i) {
    const proto::PlannedParameter& parameter = plan.parameters(i);
    if (parameter.constant() || parameter.places_size() == 0) continue;
    tensors_.push_back({parameter.name(), parameter.type()});
    entries_.push_back({static_cast<int>(parameter.places(0).rank()), i, -1});
  }
  if (!with_state) return;
  for (const proto::Bucket& bucket : plan.buckets()) {
    const bool sharded = plan.shard_optimizer() > 0;
    for (int i = 0; i < bucket.parameters_size() && (sharded || i < bucket.states_size()); ++i) {
      const proto::PlannedParameter& parameter = plan.parameters(bucket.parameters(i));
      proto::TensorType type = parameter.type();
      type.set_dtype(proto::F32);
      for (int k = 0; k < (sharded ? bucket.shard_state_offsets_size() : bucket.states(i).offsets_size()); ++k) {
        tensors_.push_back({absl::StrCat(StatePrefix(plan.optimizer(), k), parameter.name()), type});
        entries_.push_back({static_cast<int>(bucket.owner()), static_cast<int>(bucket.parameters(i)), k});
      }
    }
  }
}

absl::Status WorkerStore::Read(int tensor, void* memory, uint64_t bytes) const {
  const Entry& entry = entries_[tensor];
  if (entry.state < 0) return ranks_.worker(entry.rank).ReadParameter(entry.parameter, memory, bytes);
  // Of sharded state every replica has its part; of other state the first one's will do.
  const int ranks = plan_.shard_optimizer() > 0 ? plan_.ranks_size() : PipelineRanks(plan_);
  for (int rank = entry.rank; rank < ranks; rank += PipelineRanks(plan_)) {
    MR_RETURN_IF_ERROR(ranks_.worker(rank).ReadState(entry.parameter, entry.state, memory, bytes));
  }
  return absl::OkStatus();
}

absl::Status WorkerStore::Write(int tensor, const void* memory, uint64_t bytes) {
  const Entry& entry = entries_[tensor];
  for (int first = 0; first < plan_.ranks_size(); first += PipelineRanks(plan_)) {
    if (entry.state >= 0) {
      MR_RETURN_IF_ERROR(ranks_.worker(first + entry.rank).WriteState(entry.parameter, entry.state, memory, bytes));
      continue;
    }
    for (const proto::ParameterPlace& place : plan_.parameters(entry.parameter).places()) {
      const int rank = first + static_cast<int>(place.rank());
      MR_RETURN_IF_ERROR(ranks_.worker(rank).WriteParameter(entry.parameter, memory, bytes));
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace
