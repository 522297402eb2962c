#include "runtime/job/worker_store.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "proto/status_macros.h"
#include "runtime/job/plan_facts.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/shards.h"

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
      for (int k = 0; k < OptimizerStates(parameter, plan.optimizer()); ++k) {
        tensors_.push_back({absl::StrCat(StatePrefix(plan.optimizer(), k), parameter.name()), type});
        entries_.push_back({static_cast<int>(bucket.owner()), static_cast<int>(bucket.parameters(i)), k});
      }
    }
  }
}

std::vector<int> WorkerStore::RanksOf(const Entry& entry) const {
  std::vector<int> ranks;
  if (entry.state >= 0) return RanksAt(plan_, entry.rank);
  for (const proto::ParameterPlace& place : plan_.parameters(entry.parameter).places()) {
    for (int rank : RanksAt(plan_, static_cast<int>(place.rank()))) ranks.push_back(rank);
  }
  return ranks;
}

bool WorkerStore::is_here(int tensor) const {
  const std::vector<int> ranks = RanksOf(entries_[tensor]);
  return std::any_of(ranks.begin(), ranks.end(), [this](int rank) { return ranks_.is_here(rank); });
}

bool WorkerStore::IsDivided(const Entry& entry) const {
  if (entry.state >= 0) return plan_.shard_optimizer() > 0;
  return DividesParameters(plan_) && plan_.parameters(entry.parameter).trainable();
}

// What is divided among replicas stands in each one's file, as far as that one has it.
absl::StatusOr<std::vector<TensorPart>> WorkerStore::parts() const {
  if (plan_.shard_optimizer() == 0) return ParameterStore::parts();
  std::map<int, std::vector<TensorPart>> divided;  // by parameter
  for (const proto::Bucket& bucket : plan_.buckets()) {
    const std::vector<Shard> shards = ShardsAt(plan_, bucket, static_cast<int>(bucket.owner()));
    const std::vector<int> ranks = RanksAt(plan_, static_cast<int>(bucket.owner()));
    for (size_t replica = 0; replica < shards.size(); ++replica) {
      const int rank = ranks[replica];
      for (const ShardPiece& piece : shards[replica].pieces) {
        divided[static_cast<int>(bucket.parameters(piece.member))].push_back(
            {0, piece.first, piece.first + piece.elements, rank});
      }
    }
  }
  MR_ASSIGN_OR_RETURN(const std::vector<TensorPart> whole, ParameterStore::parts());
  std::vector<TensorPart> parts;
  for (const TensorPart& tensor : whole) {
    const Entry& entry = entries_[tensor.tensor];
    const auto found = divided.find(entry.parameter);
    if (!IsDivided(entry) || found == divided.end()) {
      parts.push_back(tensor);
      continue;
    }
    for (TensorPart part : found->second) {
      part.tensor = tensor.tensor;
      parts.push_back(part);
    }
  }
  return parts;
}

absl::Status WorkerStore::ReadPart(const TensorPart& part, void* memory, uint64_t bytes) const {
  const Entry& entry = entries_[part.tensor];
  if (!IsDivided(entry)) return ParameterStore::ReadPart(part, memory, bytes);
  const uint64_t first = part.begin * static_cast<uint64_t>(SizeOf(tensors_[part.tensor].type.dtype()));
  return ranks_.worker(part.rank).ReadRange(entry.parameter, entry.state, first, memory, bytes);
}

absl::Status WorkerStore::Read(int tensor, void* memory, uint64_t bytes) const {
  const Entry& entry = entries_[tensor];
  const auto elsewhere = [&](int rank) {
    return absl::FailedPreconditionError(
        absl::StrCat("tensor ", tensors_[tensor].name, " is read from rank ", rank, ", which is in another process"));
  };
  // Of what is divided every replica has its part; of the rest the first one's will do.
  for (int rank : IsDivided(entry) ? RanksAt(plan_, entry.rank) : std::vector<int>{entry.rank}) {
    if (!ranks_.is_here(rank)) return elsewhere(rank);
    MR_RETURN_IF_ERROR(ReadFrom(rank, entry, memory, bytes));
  }
  return absl::OkStatus();
}

absl::Status WorkerStore::ReadFrom(int rank, const Entry& entry, void* memory, uint64_t bytes) const {
  const Worker& worker = ranks_.worker(rank);
  return entry.state >= 0 ? worker.ReadState(entry.parameter, entry.state, memory, bytes)
                          : worker.ReadParameter(entry.parameter, memory, bytes);
}

absl::Status WorkerStore::Write(int tensor, const void* memory, uint64_t bytes) {
  const Entry& entry = entries_[tensor];
  for (int rank : RanksOf(entry)) {
    if (!ranks_.is_here(rank)) continue;
    Worker& worker = ranks_.worker(rank);
    MR_RETURN_IF_ERROR(entry.state >= 0 ? worker.WriteState(entry.parameter, entry.state, memory, bytes)
                                        : worker.WriteParameter(entry.parameter, memory, bytes));
  }
  return absl::OkStatus();
}

}  // namespace millrace
