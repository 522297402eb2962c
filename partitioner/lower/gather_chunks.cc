#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "partitioner/lower/list_edit.h"
#include "partitioner/lower/optimizer_steps.h"
#include "partitioner/lower/replica_steps.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

// Consecutive RUNs of one stage, seen by its buffer.
struct Stay {
  int stage = -1;
  int first = -1, last = -1;  // RUNs
};

class ChunkGathers {
 public:
  ChunkGathers(const proto::ExecutionPlan& plan, const Chunks& chunks, const CostModel& costs, proto::Program* program,
               int rank)
      : plan_(plan), costs_(costs), program_(*program), rank_(rank), edit_(program->mutable_ranks(rank)) {
    for (uint32_t stage : program->ranks(rank).stages()) {
      std::vector<ChunkWeight> weights =
          chunks.WeightsOf(program->stages(static_cast<int>(stage)), PlaceOf(plan, rank));
      uint64_t bytes = 0;
      for (const ChunkWeight& weight : weights) {
        buffer_of_[static_cast<int>(stage)] = std::min(BufferOf(static_cast<int>(stage)), weight.offset);
        bytes += chunks.WeightBytes(weight.of);
      }
      if (!weights.empty()) seconds_[static_cast<int>(stage)] = Seconds(bytes);
    }
  }

  void Write() {
    const uint32_t channel = edit_.NewChannel();
    const std::map<uint64_t, std::vector<Stay>> all = Stays();
    if (all.empty()) TakePart(channel);
    for (const auto& [buffer, stays] : all) {
      int released = -1;
      for (const Stay& stay : stays) {
        const int gather = Gather(stay.stage, channel, released);
        Ready(stay, gather);
        released = Release(stay);
      }
    }
    edit_.Finish();
  }

 private:
  uint64_t BufferOf(int stage) const {
    const auto found = buffer_of_.find(stage);
    return found == buffer_of_.end() ? ~uint64_t{0} : found->second;
  }

  // By buffer, in list order. Chunks of one buffer begin at the same address.
  std::map<uint64_t, std::vector<Stay>> Stays() {
    std::map<uint64_t, std::vector<Stay>> stays;
    for (int i = 0; i < edit_.size(); ++i) {
      const Instruction& run = edit_.at(i);
      const int stage = static_cast<int>(run.stage());
      if (run.kind() != Instruction::RUN || seconds_.count(stage) == 0) continue;
      std::vector<Stay>& of_buffer = stays[BufferOf(stage)];
      if (of_buffer.empty() || of_buffer.back().stage != stage) of_buffer.push_back({stage, i, i});
      of_buffer.back().last = i;
    }
    return stays;
  }

  // This rank runs nothing, but another replica of its stage may, and needs its pieces.
  void TakePart(uint32_t channel) {
    for (const auto& [stage, seconds] : seconds_) {
      const int gather = edit_.Append(NewGather(stage, channel));
      Instruction release = NewRelease(stage);
      release.add_after(static_cast<uint32_t>(gather));
      edit_.Append(std::move(release));
    }
  }

  Instruction NewGather(int stage, uint32_t channel) const {
    Instruction gather;
    gather.set_kind(Instruction::GATHER);
    gather.set_chunk(true);
    gather.set_stage(static_cast<uint32_t>(stage));
    gather.set_channel(channel);
    gather.set_seconds(seconds_.at(stage));
    return gather;
  }

  static Instruction NewRelease(int stage) {
    Instruction release;
    release.set_kind(Instruction::RELEASE);
    release.set_stage(static_cast<uint32_t>(stage));
    return release;
  }

  int Gather(int stage, uint32_t channel, int released) {
    Instruction gather = NewGather(stage, channel);
    if (released < 0) return edit_.InsertBefore(0, std::move(gather));
    gather.add_after(static_cast<uint32_t>(released));
    return edit_.InsertBehind(last_run_, std::move(gather));
  }

  // Behind the GATHER: PREPARE where there is something to pack, else the RUN itself.
  void Ready(const Stay& stay, int gather) {
    const proto::StageProgram& stage = program_.stages(stay.stage);
    if (stage.prepare().empty()) {
      edit_.at(stay.first).add_after(static_cast<uint32_t>(gather));
      return;
    }
    Instruction prepare = PrepareInstruction(stage, costs_, rank_);
    prepare.add_after(static_cast<uint32_t>(gather));
    edit_.InsertBefore(stay.first, std::move(prepare));
  }

  int Release(const Stay& stay) {
    last_run_ = stay.last;
    return edit_.InsertBehind(stay.last, NewRelease(stay.stage));
  }

  double Seconds(uint64_t bytes) const {
    const std::vector<int> ranks = RanksAt(plan_, PlaceOf(plan_, rank_));
    return costs_.instruction_seconds() + costs_.TrafficSeconds(2 * bytes / ranks.size(), rank_) +
           ExchangeSeconds(costs_, bytes, ranks);
  }

  const proto::ExecutionPlan& plan_;
  const CostModel& costs_;
  const proto::Program& program_;
  const int rank_;
  ListEdit edit_;
  std::map<int, uint64_t> buffer_of_;  // by stage
  std::map<int, double> seconds_;      // by stage that gathers: of its GATHER
  int last_run_ = -1;                  // of the stay that was released last
};

}  // namespace

void GatherChunks(const proto::ExecutionPlan& plan, const CostModel& costs, proto::Program* program) {
  const Chunks chunks(plan);
  for (int rank = 0; rank < program->ranks_size(); ++rank) ChunkGathers(plan, chunks, costs, program, rank).Write();
}

}  // namespace millrace
