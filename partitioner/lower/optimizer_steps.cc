#include "partitioner/lower/optimizer_steps.h"

#include <algorithm>

#include "kernels/op_desc.h"

namespace millrace {
namespace {

using proto::Instruction;

// What the steps of a bucket move.
struct BucketTraffic {
  bool several_uses = false;
  uint64_t weights = 0;   // bytes
  uint64_t arriving = 0;  // of accumulators on other ranks than the owner
  uint64_t extra = 0;     // of accumulators beyond the first
  uint64_t states = 0;
};

BucketTraffic TrafficOf(const Persistent& persistent, const proto::Bucket& bucket) {
  BucketTraffic traffic;
  for (int i = 0; i < bucket.parameters_size(); ++i) {
    const proto::PlannedParameter& parameter = persistent.parameters[bucket.parameters(i)];
    const uint64_t bytes = TensorSpec::Of(parameter.type()).bytes();
    traffic.weights += bytes;
    traffic.states += bytes * bucket.states(i).offsets_size();
    int uses = 0;
    for (const proto::ParameterPlace& place : parameter.places()) {
      uses += place.gradients_size();
      if (place.rank() != bucket.owner()) traffic.arriving += bytes * place.gradients_size();
    }
    traffic.several_uses = traffic.several_uses || uses > 1;
    traffic.extra += bytes * (uses - 1);
  }
  return traffic;
}

class RankEnd {
 public:
  RankEnd(const Persistent& persistent, const CostModel& costs, uint32_t rank, proto::RankProgram* out)
      : persistent_(persistent), costs_(costs), rank_(rank), out_(out) {}

  void Emit(const proto::Program& program) {
    uint64_t owned = 0;
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (std::find(bucket.group().begin(), bucket.group().end(), rank_) == bucket.group().end()) continue;
      const BucketTraffic traffic = TrafficOf(persistent_, bucket);
      if (bucket.owner() == rank_) owned += traffic.weights;
      if (traffic.several_uses) {
        Add(Instruction::REDUCE, b, Transfer(bucket, traffic.arriving) + Traffic(3 * traffic.extra));
      }
    }
    double latency = 0;
    for (size_t r = 1; r < persistent_.ranks.size(); ++r) latency = std::max(latency, costs_.TransferSeconds(0, 0, r));
    Add(Instruction::NORM, 0, Traffic(owned) + 2 * latency);
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (bucket.owner() != rank_) continue;
      const BucketTraffic traffic = TrafficOf(persistent_, bucket);
      Add(Instruction::STEP, b, Traffic(4 * traffic.weights + 2 * traffic.states));
    }
    for (size_t b = 0; b < persistent_.buckets.size(); ++b) {
      const proto::Bucket& bucket = persistent_.buckets[b];
      if (bucket.group_size() == 1) continue;
      if (std::find(bucket.group().begin(), bucket.group().end(), rank_) == bucket.group().end()) continue;
      Add(Instruction::GATHER, b, Transfer(bucket, TrafficOf(persistent_, bucket).weights));
    }
    for (uint32_t s : out_->stages()) Prepare(program.stages(s));
  }

 private:
  double Traffic(uint64_t bytes) const { return costs_.TrafficSeconds(bytes, rank_); }
  double Transfer(const proto::Bucket& bucket, uint64_t bytes) const {
    return bucket.group_size() == 1 ? 0 : costs_.TransferSeconds(bytes, bucket.group(1), bucket.group(0));
  }

  void Add(Instruction::Kind kind, size_t bucket, double seconds) {
    Instruction& out = *out_->add_instructions();
    out.set_kind(kind);
    out.set_bucket(static_cast<uint32_t>(bucket));
    out.set_seconds(costs_.instruction_seconds() + seconds);
  }

  void Prepare(const proto::StageProgram& stage) {
    if (stage.prepare().empty()) return;
    uint64_t bytes = 0;
    for (const proto::CallRef& ref : stage.prepare()) {
      for (const proto::PhaseProgram& phase : stage.phases()) {
        if (phase.phase() == ref.phase()) bytes += phase.calls(static_cast<int>(ref.call())).packed_bytes();
      }
    }
    Instruction& out = *out_->add_instructions();
    out.set_kind(Instruction::PREPARE);
    out.set_stage(stage.stage());
    out.set_seconds(costs_.instruction_seconds() + Traffic(2 * bytes));
  }

  const Persistent& persistent_;
  const CostModel& costs_;
  const uint32_t rank_;
  proto::RankProgram* const out_;
};

}  // namespace

void EmitOptimizerSteps(const Persistent& persistent, const CostModel& costs, proto::Program* program) {
  for (int r = 0; r < program->ranks_size(); ++r) {
    RankEnd(persistent, costs, static_cast<uint32_t>(r), program->mutable_ranks(r)).Emit(*program);
  }
}

}  // namespace millrace
