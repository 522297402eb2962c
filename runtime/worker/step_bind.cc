#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/alignment.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/ties.h"
#include "runtime/worker/step.h"
#include "runtime/worker/tags.h"

namespace millrace {
namespace {

// Of a parameter that is used in several places: one of them.
struct Use {
  int place = 0;
  const proto::GradientPlace* gradient = nullptr;
};

std::vector<Use> UsesInGraphOrder(const proto::PlannedParameter& parameter) {
  std::vector<Use> uses;
  for (const proto::ParameterPlace& place : parameter.places()) {
    for (const proto::GradientPlace& gradient : place.gradients()) {
      uses.push_back({static_cast<int>(place.rank()), &gradient});
    }
  }
  std::sort(uses.begin(), uses.end(),
            [](const Use& a, const Use& b) { return a.gradient->order() < b.gradient->order(); });
  return uses;
}

}  // namespace

StepRunner::StepRunner(const proto::ExecutionPlan& plan, int rank, const Arena& arena, KernelCache* kernels,
                       Communicator* communicator)
    : plan_(plan),
      rank_(rank),
      place_(PlaceOf(plan, rank)),
      arena_(arena),
      communicator_(communicator),
      chunks_(plan),
      replicas_(plan, rank),
      kernels_(kernels) {}

absl::StatusOr<std::unique_ptr<StepRunner>> StepRunner::Make(const proto::ExecutionPlan& plan, int rank,
                                                             const Arena& arena, KernelCache* kernels,
                                                             Communicator* communicator) {
  for (int b = 0; b < plan.buckets_size(); ++b) {
    for (uint32_t p : plan.buckets(b).parameters()) {
      if (p < static_cast<uint32_t>(plan.parameters_size())) continue;
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank, ", bucket ", b, ": there is no parameter ", p));
    }
    if (plan.norm_block_elements() > 0) continue;
    return absl::FailedPreconditionError(absl::StrCat("rank ", rank, ": the plan's norm_block_elements is 0"));
  }
  std::unique_ptr<StepRunner> step(new StepRunner(plan, rank, arena, kernels, communicator));
  for (int b = 0; b < plan.buckets_size(); ++b) {
    step->buckets_.push_back(std::make_unique<BoundBucket>(communicator));
    if (absl::Status status = step->BindBucket(b); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("rank ", rank, ", bucket ", b, ": ", status.message()));
    }
  }
  step->host_sums_.resize(step->kernels_.sums_bytes() / sizeof(double));
  MR_RETURN_IF_ERROR(step->FindZeroed());
  return step;
}

absl::Status StepRunner::BindBucket(int index) {
  const proto::Bucket& bucket = plan_.buckets(index);
  BoundBucket& bound = *buckets_[index];
  if (owns(bucket)) MR_RETURN_IF_ERROR(BindOwned(index, &bound));
  Places places;
  MR_RETURN_IF_ERROR(BindPlaces(index, &bound, &places));
  for (size_t i = 0; i < bound.owned.size(); ++i) {
    Owned& owned = bound.owned[i];
    absl::Status status = BindParts(bucket, static_cast<int>(i), &owned);
    if (status.ok()) status = BindKernels(&owned);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("parameter ", plan_.parameters(owned.parameter).name(), ": ", status.message()));
    }
  }
  MR_RETURN_IF_ERROR(MakeReduce(index, std::move(places), &bound));
  MR_RETURN_IF_ERROR(BindGather(index, &bound));
  return BindOthers(&bound);
}

absl::Status StepRunner::BindOwned(int index, BoundBucket* bound) {
  for (uint32_t p : plan_.buckets(index).parameters()) {
    const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(p));
    const proto::ParameterPlace* place = PlaceHere(parameter);
    if (place == nullptr || place->gradients().empty()) {
      return absl::FailedPreconditionError(absl::StrCat("its owner, rank ", rank_, ", has no ",
                                                        place == nullptr ? "copy" : "accumulator", " of parameter ",
                                                        parameter.name()));
    }
    Owned& owned = bound->owned.emplace_back();
    owned.parameter = static_cast<int>(p);
    owned.gradient_spec = GradientSpec(parameter);
    owned.weight_spec = {parameter.type().dtype(), owned.gradient_spec.dims};
    MR_ASSIGN_OR_RETURN(const TensorPart weight, Weight(owned.parameter));
    owned.weight = weight.at;
  }
  return absl::OkStatus();
}

const ShardPiece* StepRunner::MyPiece(int bucket, int member) const {
  return chunks_.PieceOf(MemberAt(bucket, member), place_, replicas_.me());
}

// Accumulators of all places, of whole gradients or of this replica's pieces.
absl::Status StepRunner::BindPlaces(int index, BoundBucket* bound, Places* places) {
  const proto::Bucket& bucket = plan_.buckets(index);
  const int owner = static_cast<int>(bucket.owner());
  int staged = 0;
  for (int i = 0; i < bucket.parameters_size(); ++i) {
    const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(bucket.parameters(i)));
    Owned* const owned = owner == place_ ? &bound->owned[i] : nullptr;
    const ShardPiece* const piece = MyPiece(index, i);
    const bool nothing = replicas_first() && piece == nullptr;
    const TensorSpec whole = GradientSpec(parameter);
    const uint64_t elements = replicas_first() && piece != nullptr ? piece->elements : whole.elements();
    const uint64_t bytes = elements * SizeOf(whole.dtype);
    if (owned != nullptr) owned->summed = nothing ? 0 : elements;
    for (const Use& use : UsesInGraphOrder(parameter)) {
      const std::string what = absl::StrCat("gradient ", use.gradient->order(), " of ", parameter.name());
      char* mine = nullptr;
      if (use.place == place_ && !nothing) {
        const uint64_t offset =
            replicas_first() ? use.gradient->shard_offset() + piece->shard_offset : use.gradient->offset();
        MR_ASSIGN_OR_RETURN(mine, arena_.At(offset, bytes, what));
      }
      if (use.place == owner) {
        if (owned == nullptr) continue;
        if (owned->whole == nullptr && level() < 2) {
          MR_ASSIGN_OR_RETURN(owned->whole, arena_.At(use.gradient->offset(), whole.bytes(), what));
        }
        if (nothing) continue;
        if (!owned->summands.empty()) places->cleared.push_back({mine, bytes});
        owned->summands.push_back(mine);
        continue;
      }
      const int slot = staged++;
      if (nothing) continue;
      if (mine != nullptr) {
        SendUse(index, i, slot, mine, piece, places);
        places->cleared.push_back({mine, bytes});
      } else if (owned != nullptr) {
        const absl::Status taken = TakeUse(index, i, slot, use.place, piece, owned, places);
        if (!taken.ok()) return absl::Status(taken.code(), absl::StrCat(what, ": ", taken.message()));
      }
    }
  }
  return absl::OkStatus();
}

// The gradient of a use on this rank, or its piece, goes to the owner's place.
void StepRunner::SendUse(int bucket, int member, int slot, char* gradient, const ShardPiece* piece,
                         Places* places) const {
  const BucketMember of = MemberAt(bucket, member);
  const int owner = static_cast<int>(plan_.buckets(bucket).owner());
  const std::vector<int> ranks = RanksAt(plan_, owner);
  const uint64_t tag = TransferTag(TagKind::kReduce, 0, bucket, slot);
  if (!replicas_first()) {
    const int rank = ranks[OwnerReplicaOf(replicas_.me(), static_cast<int>(ranks.size()))];
    places->transfers.push_back({true, rank, tag, gradient, chunks_.GradientBytes(of)});
    return;
  }
  const uint64_t size = DivisibleOf(plan_.parameters(of.parameter)).gradient_bytes;
  for (const CommonElements& common : CommonWith(chunks_, of, owner, piece->first, piece->elements)) {
    char* const at = gradient + (common.first - piece->first) * size;
    places->transfers.push_back({true, ranks[common.replica], tag, at, common.elements * size});
  }
}

// The owner takes what the replicas at `from` have of a use.
absl::Status StepRunner::TakeUse(int bucket, int member, int slot, int from, const ShardPiece* piece, Owned* owned,
                                 Places* places) const {
  const BucketMember of = MemberAt(bucket, member);
  const auto& offsets = plan_.buckets(bucket).staging_offsets();
  if (slot >= offsets.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("it comes from another rank and has no staging: the plan gives ", offsets.size(), " places"));
  }
  const std::vector<int> ranks = RanksAt(plan_, from);
  const uint64_t tag = TransferTag(TagKind::kReduce, 0, bucket, slot);
  const uint64_t size = DivisibleOf(plan_.parameters(of.parameter)).gradient_bytes;
  const std::string what = "staging";
  if (!replicas_first()) {
    const uint64_t bytes = chunks_.GradientBytes(of);
    uint64_t offset = offsets[slot];
    for (int replica : ReplicasWith(replicas_.me(), replicas_.count(), static_cast<int>(ranks.size()))) {
      MR_ASSIGN_OR_RETURN(char* staging, arena_.At(offset, bytes, what));
      places->transfers.push_back({false, ranks[replica], tag, staging, bytes});
      owned->summands.push_back(staging);
      offset += RoundUp(bytes);
    }
    return absl::OkStatus();
  }
  MR_ASSIGN_OR_RETURN(char* staging, arena_.At(offsets[slot], piece->elements * size, what));
  for (const CommonElements& common : CommonWith(chunks_, of, from, piece->first, piece->elements)) {
    char* const at = staging + (common.first - piece->first) * size;
    places->transfers.push_back({false, ranks[common.replica], tag, at, common.elements * size});
  }
  owned->summands.push_back(staging);
  return absl::OkStatus();
}

// Of which elements this rank takes the norm, and which it steps.
absl::Status StepRunner::BindParts(const proto::Bucket& bucket, int member, Owned* owned) {
  const uint64_t all = static_cast<uint64_t>(owned->gradient_spec.elements());
  const int index = chunks_.MemberOf(owned->parameter)->bucket;
  const ShardPiece* const piece = MyPiece(index, member);
  char* const sum = owned->summands.empty() ? nullptr : static_cast<char*>(owned->summands.front());
  if (piece != nullptr) {
    // With replicas first and nothing divided, REDUCE brings the pieces together in the whole.
    char* const from = level() >= 2 ? sum : owned->whole + owned->BytesOf(piece->first);
    owned->normed = {piece->first, piece->elements, from, nullptr};
  }
  owned->stepped = level() == 0 ? OwnedPart{0, all, owned->whole, nullptr} : owned->normed;
  if (owned->stepped.elements == 0) return absl::OkStatus();
  char* const weight = owned->weight + (level() >= 3 ? 0 : owned->WeightBytesOf(owned->stepped.first));
  owned->outputs = {weight, owned->stepped.gradient};
  return BindStates(bucket, member, owned);
}

absl::Status StepRunner::BindStates(const proto::Bucket& bucket, int member, Owned* owned) {
  const bool sharded = level() > 0;
  if (!sharded && member >= bucket.states_size()) return absl::FailedPreconditionError("it has no optimizer state");
  const auto& offsets = sharded ? bucket.shard_state_offsets() : bucket.states(member).offsets();
  const int states = OptimizerStates(plan_.parameters(owned->parameter), plan_.optimizer());
  const uint64_t inside = sharded ? MyPiece(chunks_.MemberOf(owned->parameter)->bucket, member)->shard_offset : 0;
  for (int k = 0; k < std::min(states, offsets.size()); ++k) {
    MR_ASSIGN_OR_RETURN(char* state,
                        arena_.At(offsets[k] + inside, owned->BytesOf(owned->stepped.elements),
                                  absl::StrCat("optimizer state of ", plan_.parameters(owned->parameter).name())));
    owned->outputs.push_back(state);
  }
  return absl::OkStatus();
}

absl::Status StepRunner::BindKernels(Owned* owned) {
  const proto::PlannedParameter& parameter = plan_.parameters(owned->parameter);
  if (owned->normed.elements > 0) {
    const OpDesc sums =
        SquaredSumsOp(parameter, plan_.norm_block_elements(), static_cast<int64_t>(owned->normed.elements));
    owned->blocks = static_cast<uint64_t>(sums.outputs[0].elements());
    owned->sums = kernels_.TakeSums(owned->blocks);
    MR_ASSIGN_OR_RETURN(owned->normed.kernel, kernels_.Get(sums));
  }
  const OpDesc step = OptimizerOp(parameter, plan_.optimizer(), static_cast<int64_t>(owned->stepped.elements));
  if (step.op.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no optimizer '", plan_.optimizer(), "'; there are adamw and sgd"));
  }
  if (owned->stepped.elements > 0) {
    const size_t operands = step.outputs.size();
    if (owned->outputs.size() != operands) {
      return absl::FailedPreconditionError(absl::StrCat(step.op, " keeps ", operands - 2,
                                                        " state tensors and the plan has ", owned->outputs.size() - 2));
    }
    MR_ASSIGN_OR_RETURN(owned->stepped.kernel, kernels_.Get(step));
    if (IsHalf(owned->weight_spec.dtype)) {
      OpDesc widen{"Cast", {step.outputs[0]}, {step.outputs.back()}, {}};
      widen.attributes.SetInt("to", step.outputs.back().dtype);
      MR_ASSIGN_OR_RETURN(owned->widen, kernels_.Get(widen));
    }
  }
  if (owned->summands.size() > 1) {
    MR_ASSIGN_OR_RETURN(owned->accumulate, kernels_.Get(AccumulateOp(parameter, static_cast<int64_t>(owned->summed))));
  }
  return absl::OkStatus();
}

// With optimizer state alone divided, the gradients that other replicas step are zeroed here.
absl::Status StepRunner::BindOthers(BoundBucket* bound) {
  if (level() != 1) return absl::OkStatus();
  for (Owned& owned : bound->owned) {
    const uint64_t first = owned.BytesOf(owned.stepped.first), last = first + owned.BytesOf(owned.stepped.elements);
    const uint64_t bytes = owned.gradient_spec.bytes();
    if (first > 0) bound->others.push_back({owned.whole, first});
    if (last < bytes) bound->others.push_back({owned.whole + last, bytes - last});
  }
  return absl::OkStatus();
}

absl::Status StepRunner::FindZeroed() {
  for (int p = 0; p < plan_.parameters_size(); ++p) {
    const proto::ParameterPlace* place = PlaceHere(plan_.parameters(p));
    if (place == nullptr || chunks_.MemberOf(p) == nullptr) continue;
    const uint64_t bytes = GradientSpec(plan_.parameters(p)).bytes();
    const uint64_t shard = ShardBytes(chunks_.shards(chunks_.MemberOf(p)->bucket, place_));
    for (const proto::GradientPlace& use : place->gradients()) {
      MR_ASSIGN_OR_RETURN(char* whole, arena_.At(use.offset(), bytes, "a gradient"));
      zeroed_.push_back({whole, bytes});
      if (!replicas_first()) continue;
      MR_ASSIGN_OR_RETURN(char* sum, arena_.At(use.shard_offset(), shard, "a sharded gradient"));
      zeroed_.push_back({sum, shard});
    }
  }
  return absl::OkStatus();
}

}  // namespace millrace
