#include "runtime/plan/chunks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/op_desc.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"

namespace millrace {
bool ReplicasFirst(const proto::ExecutionPlan& plan) {
  return plan.sum_order() == proto::REPLICAS_FIRST && HasReplicas(plan);
}

bool DividesGradients(const proto::ExecutionPlan& plan) { return plan.shard_optimizer() >= 2; }

bool DividesParameters(const proto::ExecutionPlan& plan) { return plan.shard_optimizer() >= 3; }

Chunks::Chunks(const proto::ExecutionPlan& plan) : plan_(plan), members_(plan.parameters_size()) {
  for (int b = 0; b < plan.buckets_size(); ++b) {
    const proto::Bucket& bucket = plan.buckets(b);
    const int owner = static_cast<int>(bucket.owner());
    shards_.push_back({{owner, ShardsAt(plan, bucket, owner)}});
    for (uint32_t place : bucket.group()) {
      if (place == bucket.owner()) continue;
      shards_[b].push_back({static_cast<int>(place), ShardsAt(plan, bucket, static_cast<int>(place))});
    }
    for (int m = 0; m < bucket.parameters_size(); ++m) {
      const int p = static_cast<int>(bucket.parameters(m));
      members_[p] = {p, b, m};
      parameter_of_name_.emplace(plan.parameters(p).name(), p);
      for (const proto::ParameterPlace& place : plan.parameters(p).places()) {
        for (const proto::GradientPlace& use : place.gradients()) {
          place_of_value_.emplace(absl::StrCat(place.rank(), " grad/", plan.parameters(p).name(), "@", use.node()),
                                  Place{p, &use});
        }
      }
    }
  }
}

std::vector<RunGradient> Chunks::GradientsOf(const proto::StageProgram& stage, const proto::PhaseProgram& phase,
                                             int rank) const {
  std::vector<RunGradient> gradients;
  absl::flat_hash_map<int, size_t> known;  // by value
  for (int c = 0; c < phase.calls_size(); ++c) {
    for (int v : phase.calls(c).outputs()) {
      if (v < 0 || v >= stage.values_size() || stage.values(v).life() != proto::GRADIENT) continue;
      const auto found = place_of_value_.find(absl::StrCat(rank, " ", stage.values(v).name()));
      if (found == place_of_value_.end()) continue;
      const auto [at, is_new] = known.emplace(v, gradients.size());
      if (is_new) {
        const Place& place = found->second;
        gradients.push_back({members_[place.parameter], place.place->offset(), place.place->shard_offset(), c});
      }
      gradients[at->second].last_call = c;
    }
  }
  std::stable_sort(gradients.begin(), gradients.end(),
                   [](const RunGradient& a, const RunGradient& b) { return a.last_call < b.last_call; });
  return gradients;
}

std::vector<ChunkWeight> Chunks::WeightsOf(const proto::StageProgram& stage, int rank) const {
  std::vector<ChunkWeight> weights;
  if (!DividesParameters(plan_)) return weights;
  for (const proto::Value& value : stage.values()) {
    if (value.life() != proto::PARAMETER) continue;
    const auto found = parameter_of_name_.find(value.name());
    if (found == parameter_of_name_.end()) continue;
    for (const proto::ParameterPlace& place : plan_.parameters(found->second).places()) {
      if (static_cast<int>(place.rank()) != rank) continue;
      weights.push_back({members_[found->second], value.offset(), place.weight_offset()});
    }
  }
  return weights;
}

const std::vector<Shard>& Chunks::shards(int bucket, int place) const {
  for (const ShardsThere& there : shards_[bucket]) {
    if (there.place == place) return there.shards;
  }
  return shards_[bucket].front().shards;
}

const ShardPiece* Chunks::PieceOf(const BucketMember& of, int place, int replica) const {
  const std::vector<Shard>& shards = this->shards(of.bucket, place);
  if (replica >= static_cast<int>(shards.size())) return nullptr;
  for (const ShardPiece& piece : shards[replica].pieces) {
    if (piece.member == of.member) return &piece;
  }
  return nullptr;
}

uint64_t Chunks::GradientBytes(const BucketMember& of) const {
  const Divisible divisible = DivisibleOf(plan_.parameters(of.parameter));
  return divisible.elements * divisible.gradient_bytes;
}

uint64_t Chunks::WeightBytes(const BucketMember& of) const {
  const Divisible divisible = DivisibleOf(plan_.parameters(of.parameter));
  return divisible.elements * divisible.weight_bytes;
}

int Chunks::ReplicasIn(const std::vector<RunGradient>& gradients, int place) const {
  return gradients.empty() ? 1 : static_cast<int>(shards(gradients[0].of.bucket, place).size());
}

uint64_t Chunks::StagingStride(const std::vector<RunGradient>& gradients, int place) const {
  uint64_t most = 0;
  for (int r = 0; r < ReplicasIn(gradients, place); ++r) {
    uint64_t bytes = 0;
    for (const RunGradient& gradient : gradients) {
      const ShardPiece* piece = PieceOf(gradient.of, place, r);
      if (piece == nullptr) continue;
      bytes += RoundUp(piece->elements * DivisibleOf(plan_.parameters(gradient.of.parameter)).gradient_bytes);
    }
    most = std::max(most, bytes);
  }
  return most;
}

uint64_t Chunks::StagingBytes(const std::vector<RunGradient>& gradients, int place) const {
  return StagingStride(gradients, place) * static_cast<uint64_t>(ReplicasIn(gradients, place) - 1);
}

}  // namespace millrace
