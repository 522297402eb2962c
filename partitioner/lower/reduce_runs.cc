#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "partitioner/lower/list_edit.h"
#include "partitioner/lower/optimizer_steps.h"
#include "partitioner/lower/replica_steps.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/op_descs.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

// What the RUNs of one phase of a stage write.
struct Written {
  std::vector<RunGradient> gradients;
  double seconds = 0;  // of their REDUCE
};

class RunReduces {
 public:
  RunReduces(const proto::ExecutionPlan& plan, const Chunks& chunks, const CostModel& costs, proto::Program* program,
             int rank)
      : plan_(plan),
        chunks_(chunks),
        costs_(costs),
        program_(*program),
        rank_(rank),
        edit_(program->mutable_ranks(rank)) {}

  void Write() {
    const uint32_t channel = edit_.NewChannel();
    int last = -1;
    for (int i = 0; i < edit_.size(); ++i) {
      Instruction& instruction = edit_.at(i);
      if (instruction.kind() == Instruction::REDUCE || instruction.kind() == Instruction::NORM) {
        // Their channel does not wait for this one by itself.
        if (last >= 0) instruction.add_after(static_cast<uint32_t>(last));
        last = -1;
      }
      if (instruction.kind() != Instruction::RUN) continue;
      const Written& written = WrittenBy(instruction);
      if (written.gradients.empty()) continue;
      WaitForBytes(written, &instruction);
      Instruction reduce;
      reduce.set_kind(Instruction::REDUCE);
      reduce.set_stage(instruction.stage());
      reduce.set_phase(instruction.phase());
      reduce.set_micro_batch(instruction.micro_batch());
      reduce.set_bucket(static_cast<uint32_t>(written.gradients[0].of.bucket));
      reduce.set_channel(channel);
      reduce.set_seconds(written.seconds);
      reduce.add_after(static_cast<uint32_t>(i));
      last = edit_.InsertBehind(i, std::move(reduce));
      for (const RunGradient& gradient : written.gradients) {
        Reduced& reduced = reduced_[gradient.offset];
        reduced = {last, std::max(reduced.end, EndOf(gradient))};
      }
    }
    edit_.Finish();
  }

 private:
  struct Reduced {
    int handle = -1;
    uint64_t end = 0;
  };

  uint64_t EndOf(const RunGradient& gradient) const { return gradient.offset + chunks_.GradientBytes(gradient.of); }

  // One REDUCE after another has those bytes; the last of them is enough, because they share a channel.
  void WaitForBytes(const Written& written, Instruction* run) const {
    int latest = -1;
    for (const RunGradient& gradient : written.gradients) {
      for (auto it = reduced_.begin(); it != reduced_.end() && it->first < EndOf(gradient); ++it) {
        if (it->second.end > gradient.offset) latest = std::max(latest, it->second.handle);
      }
    }
    if (latest >= 0) run->add_after(static_cast<uint32_t>(latest));
  }

  const Written& WrittenBy(const Instruction& run) {
    const auto [found, is_new] = written_.try_emplace({run.stage(), run.phase()});
    if (!is_new) return found->second;
    const proto::StageProgram& stage = program_.stages(static_cast<int>(run.stage()));
    found->second.gradients =
        chunks_.GradientsOf(stage, *FindPhase(stage, run.phase()), PlaceOf(plan_, rank_));
    if (!found->second.gradients.empty()) found->second.seconds = Seconds(found->second.gradients);
    return found->second;
  }

  // All but this replica's share from the others; every one adds up its own, adds it to its sum and clears the whole.
  double Seconds(const std::vector<RunGradient>& gradients) const {
    const int replicas = static_cast<int>(chunks_.shards(gradients[0].of.bucket).size());
    uint64_t bytes = 0;
    double add = 0;
    for (const RunGradient& gradient : gradients) {
      bytes += chunks_.GradientBytes(gradient.of);
      const ShardPiece* piece = chunks_.PieceOf(gradient.of, 0);
      if (piece == nullptr) continue;
      const OpDesc desc = AccumulateOp(plan_.parameters(gradient.of.parameter), static_cast<int64_t>(piece->elements));
      add += costs_.Call(desc, desc.Key(), rank_).shared;
    }
    const proto::Bucket& bucket = plan_.buckets(gradients[0].of.bucket);
    const std::vector<int> ranks = RanksAt(plan_, static_cast<int>(bucket.owner()));
    return costs_.instruction_seconds() + ExchangeSeconds(costs_, bytes, ranks) +
           costs_.Crowd(rank_) * (replicas * add + costs_.TrafficSeconds(bytes, rank_));
  }

  const proto::ExecutionPlan& plan_;
  const Chunks& chunks_;
  const CostModel& costs_;
  const proto::Program& program_;
  const int rank_;
  ListEdit edit_;
  std::map<std::pair<uint32_t, int>, Written> written_;  // by (stage, phase)
  std::map<uint64_t, Reduced> reduced_;                  // by offset: the last REDUCE there
};

}  // namespace

void ReduceRuns(const proto::ExecutionPlan& plan, const CostModel& costs, proto::Program* program) {
  const Chunks chunks(plan);
  for (int rank = 0; rank < program->ranks_size(); ++rank) RunReduces(plan, chunks, costs, program, rank).Write();
}

}  // namespace millrace
