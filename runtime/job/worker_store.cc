#include "runtime/job/worker_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/job/plan_facts.h"

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
    for (int i = 0; i < bucket.parameters_size() && i < bucket.states_size(); ++i) {
      const proto::PlannedParameter& parameter = plan.parameters(bucket.parameters(i));
      proto::TensorType type = parameter.type();
      type.set_dtype(proto::F32);
      for (int k = 0; k < bucket.states(i).offsets_size(); ++k) {
        tensors_.push_back({absl::StrCat(StatePrefix(plan.optimizer(), k), parameter.name()), type});
        entries_.push_back({static_cast<int>(bucket.owner()), static_cast<int>(bucket.parameters(i)), k});
      }
    }
  }
}

bool WorkerStore::is_here(int tensor) const {
  const Entry& entry = entries_[tensor];
  if (entry.state >= 0) return ranks_.is_here(entry.rank);
  const auto& places = plan_.parameters(entry.parameter).places();
  return std::any_of(places.begin(), places.end(),
                     [this](const proto::ParameterPlace& place) { return ranks_.is_here(place.rank()); });
}

absl::Status WorkerStore::Read(int tensor, void* memory, uint64_t bytes) const {
  const Entry& entry = entries_[tensor];
  if (!ranks_.is_here(entry.rank)) {
    return absl::FailedPreconditionError(absl::StrCat("tensor ", tensors_[tensor].name, " is read from rank ",
                                                      entry.rank, ", which is in another process"));
  }
  const Worker& worker = ranks_.worker(entry.rank);
  return entry.state < 0 ? worker.ReadParameter(entry.parameter, memory, bytes)
                         : worker.ReadState(entry.parameter, entry.state, memory, bytes);
}

absl::Status WorkerStore::Write(int tensor, const void* memory, uint64_t bytes) {
  const Entry& entry = entries_[tensor];
  if (entry.state >= 0) {
    if (!ranks_.is_here(entry.rank)) return absl::OkStatus();
    return ranks_.worker(entry.rank).WriteState(entry.parameter, entry.state, memory, bytes);
  }
  for (const proto::ParameterPlace& place : plan_.parameters(entry.parameter).places()) {
    if (!ranks_.is_here(place.rank())) continue;
    MR_RETURN_IF_ERROR(ranks_.worker(place.rank()).WriteParameter(entry.parameter, memory, bytes));
  }
  return absl::OkStatus();
}

}  // namespace millrace
