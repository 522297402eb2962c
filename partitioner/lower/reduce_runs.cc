#include <algorithm>
#include <map>
#include <tuple>
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
  // `places`: of the REDUCEs of this rank; empty: each stands behind its RUN.
  RunReduces(const proto::ExecutionPlan& plan, const Chunks& chunks, const CostModel& costs,
             const std::vector<RunReduce>& places, proto::Program* program, int rank)
      : plan_(plan),
        chunks_(chunks),
        costs_(costs),
        places_(places),
        program_(*program),
        rank_(rank),
        edit_(program->mutable_ranks(rank)),
        channel_(edit_.NewChannel()) {}

  void Write() {
    size_t placed = 0;
    for (int i = 0; i < edit_.size(); ++i) {
      for (; placed < places_.size() && places_[placed].before == i; ++placed) {
        const RunReduce& place = places_[placed];
        const int run = runs_.at({place.stage, place.phase, place.micro_batch});
        last_ = edit_.InsertBefore(i, ReduceOf(run));
        NoteBytes(run);
      }
      Instruction& instruction = edit_.at(i);
      if (instruction.kind() == Instruction::REDUCE || instruction.kind() == Instruction::NORM) {
        // Their channel does not wait for this one by itself.
        if (last_ >= 0) instruction.add_after(static_cast<uint32_t>(last_));
        last_ = -1;
      }
      if (instruction.kind() != Instruction::RUN) continue;
      const Written& written = WrittenBy(instruction);
      if (written.gradients.empty()) continue;
      WaitForBytes(written, &instruction);
      runs_[{static_cast<int>(instruction.stage()), instruction.phase(), static_cast<int>(instruction.micro_batch())}] =
          i;
      if (!places_.empty()) continue;
      last_ = edit_.InsertBehind(i, ReduceOf(i));
      NoteBytes(i);
    }
    edit_.Finish();
  }

 private:
  Instruction ReduceOf(int run) {
    const Instruction& of = edit_.at(run);
    const Written& written = WrittenBy(of);
    Instruction reduce;
    reduce.set_kind(Instruction::REDUCE);
    reduce.set_stage(of.stage());
    reduce.set_phase(of.phase());
    reduce.set_micro_batch(of.micro_batch());
    reduce.set_bucket(static_cast<uint32_t>(written.gradients[0].of.bucket));
    reduce.set_channel(channel_);
    reduce.set_seconds(written.seconds);
    reduce.add_after(static_cast<uint32_t>(run));
    return reduce;
  }

  // The last REDUCE has the bytes that the RUN wrote.
  void NoteBytes(int run) {
    for (const RunGradient& gradient : WrittenBy(edit_.at(run)).gradients) {
      Reduced& reduced = reduced_[gradient.offset];
      reduced = {last_, std::max(reduced.end, EndOf(gradient))};
    }
  }

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
    found->second.gradients = chunks_.GradientsOf(stage, *FindPhase(stage, run.phase()), PlaceOf(plan_, rank_));
    if (!found->second.gradients.empty()) found->second.seconds = Seconds(found->second.gradients);
    return found->second;
  }

  // All but this replica's share from the others; every one adds up its own, adds it to its sum and clears the whole.
  double Seconds(const std::vector<RunGradient>& gradients) const {
    const int place = PlaceOf(plan_, rank_);
    const std::vector<int> ranks = RanksAt(plan_, place);
    uint64_t bytes = 0;
    double add = 0;
    for (const RunGradient& gradient : gradients) {
      bytes += chunks_.GradientBytes(gradient.of);
      const ShardPiece* piece = chunks_.PieceOf(gradient.of, place, 0);
      if (piece == nullptr) continue;
      const OpDesc desc = AccumulateOp(plan_.parameters(gradient.of.parameter), static_cast<int64_t>(piece->elements));
      add += costs_.Call(desc, desc.Key(), rank_).shared;
    }
    return costs_.instruction_seconds() + ExchangeSeconds(costs_, bytes, ranks) +
           costs_.Crowd(rank_) * (ranks.size() * add + costs_.TrafficSeconds(bytes, rank_));
  }

  const proto::ExecutionPlan& plan_;
  const Chunks& chunks_;
  const CostModel& costs_;
  const std::vector<RunReduce>& places_;
  const proto::Program& program_;
  const int rank_;
  ListEdit edit_;
  const uint32_t channel_;
  int last_ = -1;                                  // the newest REDUCE, while nothing waits for it
  std::map<std::tuple<int, int, int>, int> runs_;  // by stage, phase and micro-batch: of RUNs that write gradients
  std::map<std::pair<uint32_t, int>, Written> written_;  // by (stage, phase)
  std::map<uint64_t, Reduced> reduced_;                  // by offset: the last REDUCE there
};

}  // namespace

void ReduceRuns(const proto::ExecutionPlan& plan, const CostModel& costs,
                const std::vector<std::vector<RunReduce>>& places, proto::Program* program) {
  const Chunks chunks(plan);
  for (int rank = 0; rank < program->ranks_size(); ++rank) {
    RunReduces(plan, chunks, costs, places[rank], program, rank).Write();
  }
}

}  // namespace millrace
