#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/ties.h"
#include "runtime/worker/step.h"
#include "runtime/worker/tags.h"

namespace millrace {
namespace {

// The stage that stands for all its replicas.
uint64_t FirstReplicaOf(const proto::StageProgram& stage) { return uint64_t{stage.stage()} - stage.replica(); }

}  // namespace

// The bucket's parameters as replicas divide them: gradients, or weights.
std::vector<DividedTensor> StepRunner::Divided(int index, const BoundBucket& bound, bool weights) const {
  std::vector<DividedTensor> tensors;
  for (size_t m = 0; m < bound.owned.size(); ++m) {
    const Owned& owned = bound.owned[m];
    DividedTensor& tensor = tensors.emplace_back();
    tensor.parameter = &plan_.parameters(owned.parameter);
    tensor.element_bytes = weights ? owned.WeightBytesOf(1) : owned.BytesOf(1);
    tensor.whole = weights ? owned.weight : owned.whole;
    tensor.name = m;
    for (int r = 0; r < replicas_.count(); ++r) {
      tensor.pieces.push_back(chunks_.PieceOf({owned.parameter, index, static_cast<int>(m)}, place_, r));
    }
    const ShardPiece* const mine = tensor.pieces[replicas_.me()];
    if (mine != nullptr) tensor.piece = tensor.whole + mine->first * tensor.element_bytes;
  }
  return tensors;
}

absl::Status StepRunner::MakeReduce(int index, Places places, BoundBucket* bound) {
  ReplicaWork::Part add;
  add.transfers = std::move(places.transfers);
  add.then = [this, bound, cleared = std::move(places.cleared)](Stream& stream) -> absl::Status {
    for (Owned& owned : bound->owned) {
      for (size_t i = 1; i < owned.summands.size(); ++i) {
        MR_RETURN_IF_ERROR(kernels_.Run(stream, *owned.accumulate, &owned.summands[i], &owned.summands.front()));
      }
    }
    for (const Memory& memory : cleared) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
    return absl::OkStatus();
  };
  bound->reduce.Add(std::move(add));
  const proto::Bucket& bucket = plan_.buckets(index);
  if (!owns(bucket) || replicas_.count() < 2) {
    if (!bound->owned.empty() && replicas_first() && level() == 0) bound->reduce.Add({{}, TakePieces(bound)});
    return absl::OkStatus();
  }
  const std::vector<DividedTensor> tensors = Divided(index, *bound, /*weights=*/false);
  if (!replicas_first()) {
    const std::vector<Shard>& shards = chunks_.shards(index, place_);
    char* staging = nullptr;
    if (ReplicaStagingBytes(shards) > 0) {
      MR_ASSIGN_OR_RETURN(staging, arena_.At(bucket.replica_staging_offset(), ReplicaStagingBytes(shards),
                                             absl::StrCat("staging of bucket ", index)));
    }
    MR_ASSIGN_OR_RETURN(ReplicaWork::Part sum, replicas_.AddUp(tensors, Replicas::Purpose::kScatter, index, staging,
                                                               ShardBytes(shards), &kernels_));
    bound->reduce.Add(std::move(sum));
  } else if (level() == 0) {
    bound->reduce.Add({{}, TakePieces(bound)});
  }
  if (level() == 0) bound->reduce.Add(replicas_.Gather(tensors, Replicas::Purpose::kGatherGradients, index));
  return absl::OkStatus();
}

// The sum of this replica's piece moves into the whole.
std::function<absl::Status(Stream&)> StepRunner::TakePieces(BoundBucket* bound) {
  return [bound](Stream& stream) -> absl::Status {
    for (Owned& owned : bound->owned) {
      if (owned.normed.elements == 0) continue;
      const uint64_t bytes = owned.BytesOf(owned.normed.elements);
      MR_RETURN_IF_ERROR(stream.Copy(owned.normed.gradient, owned.summands.front(), bytes));
      MR_RETURN_IF_ERROR(stream.Zero(owned.summands.front(), bytes));
    }
    return absl::OkStatus();
  };
}

// What other replicas have stepped, then copies for the other places.
absl::Status StepRunner::BindGather(int index, BoundBucket* bound) {
  const proto::Bucket& bucket = plan_.buckets(index);
  if (owns(bucket) && replicas_.count() > 1 && (level() == 1 || level() == 2)) {
    bound->gather.Add(
        replicas_.Gather(Divided(index, *bound, /*weights=*/true), Replicas::Purpose::kGatherWeights, index));
  }
  const int owner = static_cast<int>(bucket.owner());
  ReplicaWork::Part copies;
  uint64_t copy = 0;
  for (uint32_t p : bucket.parameters()) {
    const proto::PlannedParameter& parameter = plan_.parameters(static_cast<int>(p));
    for (const proto::ParameterPlace& place : parameter.places()) {
      const int other = static_cast<int>(place.rank());
      if (other == owner) continue;
      const uint64_t tag = TransferTag(TagKind::kGather, 0, index, copy++);
      if (place_ == owner || place_ == other) {
        MR_RETURN_IF_ERROR(CopyWeight(static_cast<int>(p), place_ == owner ? other : owner, tag, &copies));
      }
    }
  }
  if (!copies.transfers.empty()) bound->gather.Add(std::move(copies));
  return absl::OkStatus();
}

// What this rank has of the weight, from the owner's place or to another: `there`.
absl::Status StepRunner::CopyWeight(int parameter, int there, uint64_t tag, ReplicaWork::Part* copies) const {
  const BucketMember& of = *chunks_.MemberOf(parameter);
  const bool send = owns(plan_.buckets(of.bucket));
  const std::vector<int> ranks = RanksAt(plan_, there);
  MR_ASSIGN_OR_RETURN(const TensorPart mine, Weight(parameter));
  if (DividesParameters(plan_)) {
    const uint64_t size = DivisibleOf(plan_.parameters(parameter)).weight_bytes;
    for (const CommonElements& common : CommonWith(chunks_, of, there, mine.first / size, mine.bytes / size)) {
      copies->transfers.push_back(
          {send, ranks[common.replica], tag, mine.at + common.first * size - mine.first, common.elements * size});
    }
    return absl::OkStatus();
  }
  const std::vector<int> with = send ? ReplicasWith(replicas_.me(), replicas_.count(), static_cast<int>(ranks.size()))
                                     : std::vector<int>{OwnerReplicaOf(replicas_.me(), static_cast<int>(ranks.size()))};
  for (int replica : with) copies->transfers.push_back({send, ranks[replica], tag, mine.at, mine.bytes});
  return absl::OkStatus();
}

absl::StatusOr<ReplicaWork*> StepRunner::reduce_run(const proto::StageProgram& stage, proto::Phase phase) {
  const auto [found, is_new] = run_reduces_.try_emplace({static_cast<int>(stage.stage()), phase});
  if (!is_new) return found->second.get();
  const proto::PhaseProgram* const program = FindPhase(stage, phase);
  if (program == nullptr || !replicas_first()) return nullptr;
  const std::vector<RunGradient> gradients = chunks_.GradientsOf(stage, *program, place_);
  std::vector<DividedTensor> tensors;
  struct Sum {
    const Kernel* add = nullptr;
    void* from = nullptr;
    void* to = nullptr;
  };
  std::vector<Sum> sums;
  std::vector<Memory> cleared;
  for (const RunGradient& gradient : gradients) {
    DividedTensor& tensor = tensors.emplace_back();
    tensor.parameter = &plan_.parameters(gradient.of.parameter);
    tensor.element_bytes = DivisibleOf(*tensor.parameter).gradient_bytes;
    tensor.name = tensors.size() - 1;
    for (int r = 0; r < replicas_.count(); ++r) tensor.pieces.push_back(chunks_.PieceOf(gradient.of, place_, r));
    const uint64_t bytes = chunks_.GradientBytes(gradient.of);
    MR_ASSIGN_OR_RETURN(tensor.whole, arena_.At(gradient.offset, bytes, "a gradient"));
    cleared.push_back({tensor.whole, bytes});
    const ShardPiece* const mine = tensor.pieces[replicas_.me()];
    if (mine == nullptr) continue;
    MR_ASSIGN_OR_RETURN(const Kernel* add,
                        kernels_.Get(AccumulateOp(*tensor.parameter, static_cast<int64_t>(mine->elements))));
    MR_ASSIGN_OR_RETURN(char* sum, arena_.At(gradient.shard_offset + mine->shard_offset,
                                             mine->elements * tensor.element_bytes, "a sharded gradient"));
    sums.push_back({add, tensor.whole + mine->first * tensor.element_bytes, sum});
  }
  char* staging = nullptr;
  const uint64_t staged = chunks_.StagingBytes(gradients, place_);
  if (staged > 0) {
    MR_ASSIGN_OR_RETURN(staging, arena_.At(program->staging_offset(), staged, "staging of a RUN's gradients"));
  }
  const uint64_t group = FirstReplicaOf(stage) * 8 + phase;
  MR_ASSIGN_OR_RETURN(ReplicaWork::Part part, replicas_.AddUp(tensors, Replicas::Purpose::kRunScatter, group, staging,
                                                              chunks_.StagingStride(gradients, place_), &kernels_));
  part.then = [this, add = std::move(part.then), sums, cleared](Stream& stream) -> absl::Status {
    MR_RETURN_IF_ERROR(add(stream));
    for (const Sum& sum : sums) MR_RETURN_IF_ERROR(kernels_.Run(stream, *sum.add, &sum.from, &sum.to));
    for (const Memory& memory : cleared) MR_RETURN_IF_ERROR(stream.Zero(memory.at, memory.bytes));
    return absl::OkStatus();
  };
  found->second = std::make_unique<ReplicaWork>(communicator_);
  found->second->Add(std::move(part));
  return found->second.get();
}

absl::StatusOr<ReplicaWork*> StepRunner::gather_chunk(int program, const proto::StageProgram& stage) {
  const auto [found, is_new] = chunk_gathers_.try_emplace({program, static_cast<int>(stage.stage())});
  if (!is_new) return found->second.get();
  std::vector<DividedTensor> tensors;
  for (const ChunkWeight& weight : chunks_.WeightsOf(stage, place_)) {
    DividedTensor& tensor = tensors.emplace_back();
    tensor.parameter = &plan_.parameters(weight.of.parameter);
    tensor.element_bytes = DivisibleOf(*tensor.parameter).weight_bytes;
    tensor.name = tensors.size() - 1;
    MR_ASSIGN_OR_RETURN(tensor.whole, arena_.At(weight.offset, chunks_.WeightBytes(weight.of), "a chunk's weight"));
    for (int r = 0; r < replicas_.count(); ++r) tensor.pieces.push_back(chunks_.PieceOf(weight.of, place_, r));
    MR_ASSIGN_OR_RETURN(const TensorPart mine, Weight(weight.of.parameter));
    tensor.piece = mine.at;
  }
  if (tensors.empty()) return nullptr;
  const uint64_t group = FirstReplicaOf(stage) * 32 + static_cast<uint64_t>(program);
  ReplicaWork::Part part = replicas_.Gather(tensors, Replicas::Purpose::kChunk, group);
  part.then = [tensors, me = replicas_.me()](Stream& stream) -> absl::Status {
    for (const DividedTensor& tensor : tensors) {
      const ShardPiece* const mine = tensor.pieces[me];
      if (mine == nullptr) continue;
      MR_RETURN_IF_ERROR(stream.Copy(tensor.whole + mine->first * tensor.element_bytes, tensor.piece,
                                     mine->elements * tensor.element_bytes));
    }
    return absl::OkStatus();
  };
  found->second = std::make_unique<ReplicaWork>(communicator_);
  found->second->Add(std::move(part));
  return found->second.get();
}

}  // namespace millrace
