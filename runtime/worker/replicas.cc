#include "runtime/worker/replicas.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/worker/bind.h"

namespace millrace {
namespace {

enum Passage { kScatter = 0, kGatherGradients = 1, kGatherWeights = 2 };

uint64_t Tag(Passage passage, int bucket, int member) {
  return TransferTag(TagKind::kReplica, passage, bucket, member);
}

}  // namespace

absl::StatusOr<ReplicaBucket> ReplicaBucket::Bind(const proto::ExecutionPlan& plan, int bucket, int rank,
                                                  const Arena& arena, const std::vector<ReplicaMember>& members,
                                                  KernelCache* kernels) {
  ReplicaBucket bound;
  const proto::Bucket& planned = plan.buckets(bucket);
  const std::vector<Shard> shards = ShardsOf(plan, planned);
  const int pipeline = PipelineRanks(plan), replicas = static_cast<int>(plan.dp()), me = rank / pipeline;
  const auto rank_of = [&](int replica) { return rank % pipeline + replica * pipeline; };
  bound.mine_ = shards[me].pieces;

  char* staging = nullptr;
  const uint64_t stride = ShardStateBytes(shards);
  if (ReplicaStagingBytes(shards) > 0) {
    MR_ASSIGN_OR_RETURN(staging, arena.At(planned.replica_staging_offset(), ReplicaStagingBytes(shards),
                                          absl::StrCat("staging of bucket ", bucket)));
  }
  const auto gradient = [&](const ShardPiece& piece) {
    const ReplicaMember& member = members[piece.member];
    return member.gradient + piece.first * member.gradient_bytes;
  };
  // Where the piece of another replica arrives; arrivals stand in rank order.
  const auto arrival = [&](const ShardPiece& piece, int other) {
    return staging + (other < me ? other : other - 1) * stride + piece.shard_offset;
  };

  for (int other = 0; other < replicas; ++other) {
    if (other == me) continue;
    const int peer = rank_of(other);
    for (const ShardPiece& piece : shards[other].pieces) {
      const ReplicaMember& member = members[piece.member];
      const uint64_t gradient_bytes = piece.elements * member.gradient_bytes;
      char* const weight = member.weight + piece.first * member.weight_bytes;
      bound.scatter_.push_back({true, peer, Tag(kScatter, bucket, piece.member), gradient(piece), gradient_bytes});
      bound.gather_gradients_.push_back(
          {false, peer, Tag(kGatherGradients, bucket, piece.member), gradient(piece), gradient_bytes});
      bound.gather_weights_.push_back(
          {false, peer, Tag(kGatherWeights, bucket, piece.member), weight, piece.elements * member.weight_bytes});
    }
    for (const ShardPiece& piece : bound.mine_) {
      const ReplicaMember& member = members[piece.member];
      const uint64_t gradient_bytes = piece.elements * member.gradient_bytes;
      char* const weight = member.weight + piece.first * member.weight_bytes;
      bound.scatter_.push_back(
          {false, peer, Tag(kScatter, bucket, piece.member), arrival(piece, other), gradient_bytes});
      bound.gather_gradients_.push_back(
          {true, peer, Tag(kGatherGradients, bucket, piece.member), gradient(piece), gradient_bytes});
      bound.gather_weights_.push_back(
          {true, peer, Tag(kGatherWeights, bucket, piece.member), weight, piece.elements * member.weight_bytes});
    }
  }

  // ((g0 + g1) + g2) + ...: those before this replica are added where the first of them arrived. A sum of two floats
  // does not depend on which is added to which.
  for (const ShardPiece& piece : bound.mine_) {
    const proto::PlannedParameter& parameter = plan.parameters(members[piece.member].parameter);
    MR_ASSIGN_OR_RETURN(const Kernel* add, kernels->Get(AccumulateOp(parameter, static_cast<int64_t>(piece.elements))));
    bound.most_scratch_ = std::max(bound.most_scratch_, add->needs().scratch_bytes);
    for (int other = 1; other < me; ++other) {
      bound.additions_.push_back({add, arrival(piece, other), arrival(piece, 0)});
    }
    if (me > 0) bound.additions_.push_back({add, arrival(piece, 0), gradient(piece)});
    for (int other = me + 1; other < replicas; ++other) {
      bound.additions_.push_back({add, arrival(piece, other), gradient(piece)});
    }
  }
  return bound;
}

absl::Status ReplicaBucket::Sum(const RunFn& run) const {
  for (const Addition& addition : additions_) {
    MR_RETURN_IF_ERROR(run(*addition.kernel, &addition.from, &addition.to));
  }
  return absl::OkStatus();
}

}  // namespace millrace
