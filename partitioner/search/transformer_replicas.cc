#include "partitioner/search/transformer_replicas.h"

#include <algorithm>
#include <utility>

#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int64_t kMostGroups = 64;

bool HasReplicasOfTheirOwn(const SearchQuestion& q) {
  const bool one_f_one_b = !q.schedule.has_value() || *q.schedule == SearchedSchedule::k1F1B;
  return one_f_one_b && q.chunks <= 1 && q.replicas == 0 && q.sharding.value_or(1) <= 1;
}

std::vector<int64_t> DegreesOf(const SearchQuestion& q, bool any_number_of_groups) {
  const int64_t host = q.machine.devices_per_host;
  std::vector<int64_t> degrees;
  for (int64_t t = 1; t <= std::min(q.model.heads, q.machine.devices); ++t) {
    if (q.model.heads % t != 0 || (host % t != 0 && t % host != 0)) continue;
    if (q.tensor_parallel != 0 && t != q.tensor_parallel) continue;
    if (any_number_of_groups || q.machine.devices / t <= kMostGroups) degrees.push_back(t);
  }
  return degrees;
}

}  // namespace

absl::StatusOr<ReplicaAnswer> SearchReplicasOf(const SearchQuestion& q, const std::vector<int64_t>& replicas,
                                               double worth) {
  ReplicaAnswer best;
  if (!HasReplicasOfTheirOwn(q)) return best;
  MR_RETURN_IF_ERROR(CheckTransformer(q.model));
  best.proven = true;
  absl::Status first_error;
  for (int64_t t : DegreesOf(q, !replicas.empty())) {
    ReplicaQuestion own;
    own.chain = [&q, t](int64_t micro_batch, ActivationRecompute recompute) {
      return ChainOf(q.model, q.machine, micro_batch, t, recompute);
    };
    own.recompute = {ActivationRecompute::kNone, ActivationRecompute::kSelective, ActivationRecompute::kFull};
    if (q.recompute.has_value()) own.recompute = {*q.recompute};
    own.machine = q.machine;
    own.global_batch = q.global_batch;
    own.tensor_parallel = t;
    own.micro_batch = q.micro_batch;
    own.pipeline = q.pipeline;
    own.replicas = replicas;
    own.sharding = q.sharding;
    own.worth = worth;
    absl::StatusOr<ReplicaAnswer> answer = SearchReplicas(own);
    if (!answer.ok()) {
      if (first_error.ok()) first_error = answer.status();
      continue;
    }
    best.played += answer->played;
    best.partial += answer->partial;
    best.proven &= answer->proven;
    if (answer->ranked.empty()) continue;
    worth = answer->ranked[0].step.seconds.step;
    best.ranked = std::move(answer->ranked);
  }
  if (best.ranked.empty() && !first_error.ok()) return first_error;
  return best;
}

}  // namespace millrace
