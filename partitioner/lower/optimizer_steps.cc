#include "partitioner/lower/optimizer_steps.h"

#include <algorithm>

#include "kernels/op_desc.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/ties.h"

namespace millrace {
namespace {

using proto::Instruction;

// What a rank tells every other in NORM: about so many bytes.
constexpr uint64_t kNormBytes = 512;

// What the steps of a bucket move, and what the kernels of its owner take with the ranks that share its cores busy:
// every rank is at the end of its list at about the same time.
struct BucketTraffic {
  bool several_uses = false;
  uint64_t weights = 0;   // bytes
  uint64_t arriving = 0;  // of accumulators on other ranks than the owner
  uint64_t cleared = 0;   // of accumulators beyond the first
  double add_seconds = 0;
};

class RankEnd {
 public:
  RankEnd(const Persistent& persistent, const CostModel& costs, uint32_t rank, proto::RankProgram* out)
      : persistent_(persistent),
        costs_(costs),
        rank_(rank),
        place_(static_cast<uint32_t>(persistent.place_of_rank[rank])),
        out_(out) {}

  void Emit(const proto::Program& program) {
    double norm = 0;
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (std::find(bucket.group().begin(), bucket.group().end(), place_) == bucket.group().end()) continue;
      const BucketTraffic traffic = TrafficOf(bucket);
      if (bucket.owner() == place_) {
        norm += SecondsOfEach(b, has_replicas(), [this](const proto::PlannedParameter& parameter, int64_t piece) {
          return SquaredSumsOp(parameter, persistent_.replication.norm_block_elements, piece);
        });
      }
      // With replicas first, each RUN's gradients are summed behind it; what is left is places, and giving every
      // replica the whole sum.
      const bool of_replicas = has_replicas() && (!replicas_first() || !sharded());
      if (traffic.several_uses || of_replicas) {
        const double work = traffic.add_seconds + Traffic(traffic.cleared);
        Add(Instruction::REDUCE, b, Transfer(bucket, traffic.arriving) + Crowd() * work + ReplicaSeconds(b));
      }
    }
    const int ranks = static_cast<int>(persistent_.ranks.size()) * persistent_.replication.replicas;
    Add(Instruction::NORM, 0, Crowd() * norm + costs_.AllGatherSeconds(ranks, kNormBytes));
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (bucket.owner() != place_) continue;
      Add(Instruction::STEP, b,
          SecondsOfEach(b, sharded(), [this](const proto::PlannedParameter& parameter, int64_t piece) {
            return OptimizerOp(parameter, persistent_.optimizer, piece);
          }));
    }
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (bucket.group_size() == 1 && !GathersWeights()) continue;
      if (std::find(bucket.group().begin(), bucket.group().end(), place_) == bucket.group().end()) continue;
      const uint64_t weights = TrafficOf(bucket).weights;
      const uint64_t copied = divides_parameters() ? weights / replicas() : weights;
      Add(Instruction::GATHER, b, Transfer(bucket, copied) + (GathersWeights() ? FromReplicas(bucket, weights) : 0));
    }
    if (divides_parameters()) return;  // packed after each chunk's GATHER
    for (uint32_t s : out_->stages()) {
      if (program.stages(s).prepare().empty()) continue;
      *out_->add_instructions() = PrepareInstruction(program.stages(s), costs_, static_cast<int>(rank_));
    }
  }

 private:
  double Traffic(uint64_t bytes) const { return costs_.TrafficSeconds(bytes, rank_); }
  double Transfer(const proto::Bucket& bucket, uint64_t bytes) const {
    return bucket.group_size() == 1 ? 0 : costs_.TransferSeconds(bytes, bucket.group(1), bucket.group(0));
  }

  // Of REDUCE and NORM, which the simulator takes for meetings: they occupy no core there.
  double Crowd() const { return costs_.Crowd(static_cast<int>(rank_)); }
  double Seconds(const OpDesc& desc) const { return costs_.Call(desc, desc.Key(), static_cast<int>(rank_)).shared; }

  int replicas() const { return persistent_.replication.ReplicasAt(static_cast<int>(place_)); }
  bool has_replicas() const { return persistent_.replication.has_replicas(); }
  bool sharded() const { return persistent_.replication.shard_optimizer > 0; }
  bool replicas_first() const { return persistent_.replication.replicas_first; }
  bool divides_parameters() const { return persistent_.replication.divides_parameters(); }
  // After STEP, so that every replica has the whole.
  bool GathersWeights() const { return sharded() && !divides_parameters(); }

  // Of the bucket's parameters, or of the first replica's shard of them.
  template <typename OpOf>
  double SecondsOfEach(size_t b, bool of_shard, OpOf op_of) const {
    const proto::Bucket& bucket = persistent_.buckets[b];
    double seconds = 0;
    if (of_shard) {
      for (const ShardPiece& piece : persistent_.OwnersShards(b)[0].pieces) {
        const uint32_t p = bucket.parameters(piece.member);
        seconds += Seconds(op_of(persistent_.parameters[p], static_cast<int64_t>(piece.elements)));
      }
    } else {
      for (uint32_t p : bucket.parameters()) seconds += Seconds(op_of(persistent_.parameters[p], kWhole));
    }
    return seconds;
  }

  // All but this replica's share of `bytes` from the other replicas; the other way the same goes at the same time.
  double FromReplicas(const proto::Bucket& bucket, uint64_t bytes) const {
    const bool of_stage = !persistent_.replication.of_rank.empty();
    const int apart = of_stage ? 1 : static_cast<int>(persistent_.ranks.size());
    std::vector<int> ranks;
    for (int r = 0; r < replicas(); ++r) ranks.push_back(static_cast<int>(bucket.owner()) + r * apart);
    return ExchangeSeconds(costs_, bytes, ranks);
  }

  // The sum over the replicas: every one adds up its shard, and without sharding gathers the others'.
  double ReplicaSeconds(size_t b) const {
    const proto::Bucket& bucket = persistent_.buckets[b];
    if (replicas() < 2 || bucket.owner() != place_) return 0;
    uint64_t bytes = 0;
    for (uint32_t p : bucket.parameters()) bytes += GradientSpec(persistent_.parameters[p]).bytes();
    if (replicas_first()) return sharded() ? 0 : FromReplicas(bucket, bytes);
    const double add = SecondsOfEach(b, true, [](const proto::PlannedParameter& parameter, int64_t piece) {
      return AccumulateOp(parameter, piece);
    });
    return (sharded() ? 1 : 2) * FromReplicas(bucket, bytes) + Crowd() * (replicas() - 1) * add;
  }

  // Of one use elsewhere, at the replica that has most of them.
  int ArrivalsAtOwner(const proto::Bucket& bucket, const proto::ParameterPlace& place) const {
    if (replicas_first()) return 1;
    return ArrivalsOfUse(persistent_.replication.ReplicasAt(static_cast<int>(bucket.owner())),
                         persistent_.replication.ReplicasAt(static_cast<int>(place.rank())));
  }

  BucketTraffic TrafficOf(const proto::Bucket& bucket) const {
    BucketTraffic traffic;
    for (uint32_t p : bucket.parameters()) {
      const proto::PlannedParameter& parameter = persistent_.parameters[p];
      uint64_t bytes = static_cast<uint64_t>(GradientSpec(parameter).bytes());
      if (replicas_first()) bytes /= static_cast<uint64_t>(replicas());
      traffic.weights += TensorSpec::Of(parameter.type()).bytes();
      int uses = 0, summands = 0;
      for (const proto::ParameterPlace& place : parameter.places()) {
        uses += place.gradients_size();
        const int of_use = place.rank() == bucket.owner() ? 1 : ArrivalsAtOwner(bucket, place);
        summands += place.gradients_size() * of_use;
        if (place.rank() != bucket.owner()) traffic.arriving += bytes * place.gradients_size() * of_use;
      }
      if (uses < 2) continue;
      traffic.several_uses = true;
      traffic.cleared += bytes * (uses - 1);
      if (bucket.owner() == place_) traffic.add_seconds += (summands - 1) * Seconds(AccumulateOp(parameter));
    }
    return traffic;
  }

  void Add(Instruction::Kind kind, size_t bucket, double seconds) {
    Instruction& out = *out_->add_instructions();
    out.set_kind(kind);
    out.set_bucket(static_cast<uint32_t>(bucket));
    out.set_seconds(costs_.instruction_seconds() + seconds);
  }

  const Persistent& persistent_;
  const CostModel& costs_;
  const uint32_t rank_, place_;
  proto::RankProgram* const out_;
};

}  // namespace

double ExchangeSeconds(const CostModel& costs, uint64_t bytes, const std::vector<int>& ranks) {
  if (ranks.size() < 2) return 0;
  return costs.TransferSeconds(bytes / ranks.size() * (ranks.size() - 1), ranks[1], ranks[0]);
}

proto::Instruction PrepareInstruction(const proto::StageProgram& stage, const CostModel& costs, int rank) {
  double seconds = 0;
  for (const proto::CallRef& ref : stage.prepare()) {
    const proto::KernelCall& call = FindPhase(stage, ref.phase())->calls(static_cast<int>(ref.call()));
    seconds += costs.Pack(CallDesc(stage, call).Key(), call.packed_bytes(), rank).shared;
  }
  Instruction out;
  out.set_kind(Instruction::PREPARE);
  out.set_stage(stage.stage());
  out.set_seconds(costs.instruction_seconds() + seconds);
  return out;
}

void EmitOptimizerSteps(const Persistent& persistent, const CostModel& costs, proto::Program* program) {
  for (int r = 0; r < program->ranks_size(); ++r) {
    RankEnd(persistent, costs, static_cast<uint32_t>(r), program->mutable_ranks(r)).Emit(*program);
  }
}

}  // namespace millrace
