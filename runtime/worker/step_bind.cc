#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/op_descs.h"
#include "runtime/worker/bind.h"
#include "runtime/worker/step.h"

namespace millrace {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t Align(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Use {
  uint32_t order = 0;
  int rank = 0;
  uint64_t offset = 0;
};

std::vector<Use> UsesInGraphOrder(const proto::PlannedParameter& parameter) {
  std::vector<Use> uses;
  for (const proto::ParameterPlace& place : parameter.places()) {
    for (const proto::GradientPlace& gradient : place.gradients()) {
      uses.push_back({gradient.order(), static_cast<int>(place.rank()), gradient.offset()});
    }
  }
  std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.order < b.order; });
  return uses;
}

const proto::ParameterPlace* PlaceOn(const proto::PlannedParameter& parameter, int rank) {
  for (const proto::ParameterPlace& place : parameter.places()) {
    if (static_cast<int>(place.rank()) == rank) return &place;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StepRunner>> StepRunner::Make(const proto::ExecutionPlan& plan, int rank,
                                                             const Arena& arena, KernelCache* kernels,
                                                             Communicator* communicator) {
  std::unique_ptr<StepRunner> step(new StepRunner(plan, rank, arena, communicator));
  step->buckets_.resize(plan.buckets_size());
  for (int b = 0; b < plan.buckets_size(); ++b) {
    if (absl::Status status = step->BindBucket(b, kernels); !status.ok()) {
      return absl::Status(status.code(), absl::StrCat("rank ", rank, ", bucket ", b, ": ", status.message()));
    }
  }
  MR_RETURN_IF_ERROR(step->AllocateSide());
  return step;
}

absl::Status StepRunner::BindBucket(int index, KernelCache* kernels) {
  const proto::Bucket& bucket = plan_.buckets(index);
  for (uint32_t p : bucket.parameters()) {
    if (p >= static_cast<uint32_t>(plan_.parameters_size())) {
      return absl::FailedPreconditionError(absl::StrCat("there is no parameter ", p));
    }
  }
  BoundBucket& bound = buckets_[index];
  const bool owner = static_cast<int>(bucket.owner()) == place_;
  if (owner) {
    if (plan_.norm_block_elements() == 0) return absl::FailedPreconditionError("the plan's norm_block_elements is 0");
    for (uint32_t p : bucket.parameters()) {
      const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(p));
      Owned owned;
      owned.parameter = static_cast<int>(p);
      owned.gradient = GradientSpec(parameter);
      owned.weight = {parameter.type().dtype(), owned.gradient.dims};
      owned.normed.elements = owned.stepped.elements = static_cast<uint64_t>(owned.gradient.elements());
      bound.owned.push_back(std::move(owned));
    }
  }
  MR_RETURN_IF_ERROR(BindReduce(index, &bound));
  MR_RETURN_IF_ERROR(BindGather(index, &bound));
  for (size_t i = 0; i < bound.owned.size(); ++i) {
    MR_RETURN_IF_ERROR(BindOwned(index, static_cast<int>(i), &bound));
  }
  if (owner && plan_.dp() > 1) MR_RETURN_IF_ERROR(BindReplicas(index, kernels, &bound));
  for (size_t i = 0; i < bound.owned.size(); ++i) {
    Owned& owned = bound.owned[i];
    absl::Status status = BindStates(bucket, static_cast<int>(i), &owned);
    if (status.ok()) status = BindKernels(kernels, &owned);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("parameter ", plan_.parameters(owned.parameter).name(), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status StepRunner::BindOwned(int index, int member, BoundBucket* bound) {
  Owned& owned = bound->owned[member];
  const proto::PlannedParameter& parameter = plan_.parameters(owned.parameter);
  const proto::ParameterPlace* place = PlaceOn(parameter, place_);
  if (place == nullptr || owned.sum == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("its owner, rank ", rank_, ", has no ",
                                                      place == nullptr ? "copy" : "accumulator", " of parameter ",
                                                      parameter.name()));
  }
  MR_ASSIGN_OR_RETURN(char* weight, arena_.At(place->weight_offset(), owned.weight.bytes(), parameter.name()));
  owned.outputs = {weight, owned.sum};
  return absl::OkStatus();
}

// What this replica's shard is of each parameter; all of it counts where no replicas are.
absl::Status StepRunner::BindReplicas(int index, KernelCache* kernels, BoundBucket* bound) {
  std::vector<ReplicaMember> members;
  for (const Owned& owned : bound->owned) {
    members.push_back({owned.parameter, owned.sum, owned.BytesOf(1), static_cast<char*>(owned.outputs[0]),
                       static_cast<uint64_t>(SizeOf(owned.weight.dtype))});
  }
  MR_ASSIGN_OR_RETURN(bound->replicas, ReplicaBucket::Bind(plan_, index, rank_, arena_, members, kernels));
  most_scratch_ = std::max(most_scratch_, bound->replicas->most_scratch());
  const bool sharded = plan_.shard_optimizer() > 0;
  for (Owned& owned : bound->owned) {
    owned.normed = {};
    if (sharded) owned.stepped = {};
  }
  for (const ShardPiece& piece : bound->replicas->mine()) {
    Owned& owned = bound->owned[piece.member];
    owned.normed = {piece.first, piece.elements, piece.shard_offset};
    if (sharded) owned.stepped = owned.normed;
  }
  if (!sharded) return absl::OkStatus();
  for (Owned& owned : bound->owned) {
    const uint64_t first = owned.BytesOf(owned.stepped.first), last = first + owned.BytesOf(owned.stepped.elements);
    if (first > 0) bound->others.push_back({owned.sum, first});
    if (last < owned.gradient.bytes()) bound->others.push_back({owned.sum + last, owned.gradient.bytes() - last});
  }
  return absl::OkStatus();
}

absl::Status StepRunner::BindStates(const proto::Bucket& bucket, int member, Owned* owned) {
  const Part& part = owned->stepped;
  if (part.elements == 0) return absl::OkStatus();
  char* const weight = static_cast<char*>(owned->outputs[0]);
  owned->outputs = {weight + part.first * SizeOf(owned->weight.dtype), owned->sum + owned->BytesOf(part.first)};
  const bool sharded = plan_.shard_optimizer() > 0;
  if (!sharded && member >= bucket.states_size()) return absl::FailedPreconditionError("it has no optimizer state");
  const auto& offsets = sharded ? bucket.shard_state_offsets() : bucket.states(member).offsets();
  for (uint64_t offset : offsets) {
    MR_ASSIGN_OR_RETURN(char* state,
                        arena_.At(offset + (sharded ? part.shard_offset : 0), owned->BytesOf(part.elements),
                                  absl::StrCat("optimizer state of ", plan_.parameters(owned->parameter).name())));
    owned->outputs.push_back(state);
  }
  return absl::OkStatus();
}

absl::Status StepRunner::BindReduce(int index, BoundBucket* bound) {
  const proto::Bucket& bucket = plan_.buckets(index);
  const int owner = static_cast<int>(bucket.owner());
  int staged = 0;
  for (int i = 0; i < bucket.parameters_size(); ++i) {
    const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(bucket.parameters(i)));
    const uint64_t bytes = GradientSpec(parameter).bytes();
    Owned* const owned = owner == place_ ? &bound->owned[i] : nullptr;
    for (const Use& use : UsesInGraphOrder(parameter)) {
      const std::string what = absl::StrCat("gradient ", use.order, " of ", parameter.name());
      char* mine = nullptr;
      if (use.rank == place_) {
        MR_ASSIGN_OR_RETURN(mine, arena_.At(use.offset, bytes, what));
      }
      if (use.rank == owner) {
        if (owned == nullptr) continue;
        owned->summands.push_back(mine);
        if (owned->sum == nullptr) {
          owned->sum = mine;
        } else {
          bound->cleared.push_back({mine, bytes});
        }
        continue;
      }
      const int slot = staged++;
      const uint64_t tag = TransferTag(TagKind::kReduce, 0, index, slot);
      if (mine != nullptr) {
        bound->reduce.push_back({true, InReplica(owner), tag, mine, bytes});
        bound->cleared.push_back({mine, bytes});
      } else if (owned != nullptr) {
        if (slot >= bucket.staging_offsets_size()) {
          return absl::FailedPreconditionError(
              absl::StrCat(what, " has no staging: the plan gives ", bucket.staging_offsets_size(), " places"));
        }
        MR_ASSIGN_OR_RETURN(char* staging, arena_.At(bucket.staging_offsets(slot), bytes, what));
        bound->reduce.push_back({false, InReplica(use.rank), tag, staging, bytes});
        owned->summands.push_back(staging);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status StepRunner::BindGather(int index, BoundBucket* bound) {
  const proto::Bucket& bucket = plan_.buckets(index);
  const int owner = static_cast<int>(bucket.owner());
  uint64_t copy = 0;
  for (uint32_t p : bucket.parameters()) {
    const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(p));
    const uint64_t bytes = TensorSpec::Of(parameter.type()).bytes();
    for (const proto::ParameterPlace& place : parameter.places()) {
      const int other = static_cast<int>(place.rank());
      if (other == owner) continue;
      const uint64_t tag = TransferTag(TagKind::kGather, 0, index, copy++);
      if (place_ != owner && place_ != other) continue;
      const proto::ParameterPlace* mine = PlaceOn(parameter, place_);
      if (mine == nullptr) return absl::FailedPreconditionError(absl::StrCat("no copy of ", parameter.name()));
      MR_ASSIGN_OR_RETURN(char* weight, arena_.At(mine->weight_offset(), bytes, parameter.name()));
      bound->gather.push_back({place_ == owner, InReplica(place_ == owner ? other : owner), tag, weight, bytes});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const Kernel*> StepRunner::KernelFor(KernelCache* kernels, const OpDesc& desc) {
  MR_ASSIGN_OR_RETURN(const Kernel* kernel, kernels->Get(desc));
  most_scratch_ = std::max(most_scratch_, kernel->needs().scratch_bytes);
  return kernel;
}

absl::Status StepRunner::BindKernels(KernelCache* kernels, Owned* owned) {
  const proto::PlannedParameter& parameter = plan_.parameters(owned->parameter);
  if (owned->normed.elements > 0) {
    const OpDesc sums =
        SquaredSumsOp(parameter, plan_.norm_block_elements(), static_cast<int64_t>(owned->normed.elements));
    owned->blocks = static_cast<uint64_t>(sums.outputs[0].elements());
    most_blocks_ = std::max(most_blocks_, owned->blocks);
    MR_ASSIGN_OR_RETURN(owned->normed.kernel, KernelFor(kernels, sums));
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
    MR_ASSIGN_OR_RETURN(owned->stepped.kernel, KernelFor(kernels, step));
  }
  if (owned->summands.size() > 1) {
    MR_ASSIGN_OR_RETURN(owned->accumulate, KernelFor(kernels, AccumulateOp(parameter)));
  }
  return absl::OkStatus();
}

absl::Status StepRunner::AllocateSide() {
  const uint64_t hyper = Align(kHyperElements * sizeof(double));
  const uint64_t sums = Align(std::max<uint64_t>(most_blocks_, 1) * sizeof(double));
  MR_ASSIGN_OR_RETURN(side_, arena_.device()->Allocate(hyper + sums + Align(most_scratch_ + 1)));
  hyper_ = static_cast<char*>(side_.memory());
  sums_ = hyper_ + hyper;
  scratch_ = sums_ + sums;
  host_sums_.resize(most_blocks_);
  return absl::OkStatus();
}

}  // namespace millrace
