#include <algorithm>
#include <map>
#include <vector>

#include "partitioner/lower/list_edit.h"
#include "partitioner/lower/replica_steps.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

// Where a bucket is complete: behind so many calls of that RUN.
struct LastAdd {
  int run = -1;
  int calls = 0;
};

class EarlyReduces {
 public:
  EarlyReduces(const proto::ExecutionPlan& plan, const Chunks& chunks, const std::vector<RunReduce>& places,
               proto::Program* program, int rank)
      : plan_(plan),
        chunks_(chunks),
        places_(places),
        program_(*program),
        rank_(rank),
        edit_(program->mutable_ranks(rank)) {}

  void Write() {
    FindLastAdds();
    std::vector<int> reduces;  // in the order in which their buckets are complete
    int norm = -1;
    for (int i = 0; i < edit_.size(); ++i) {
      const Instruction& instruction = edit_.at(i);
      if (instruction.kind() == Instruction::NORM) norm = i;
      if (instruction.kind() != Instruction::REDUCE) continue;
      const int bucket = static_cast<int>(instruction.bucket());
      if (plan_.buckets(bucket).group_size() == 1 && last_.count(bucket) > 0) reduces.push_back(i);
    }
    std::stable_sort(reduces.begin(), reduces.end(), [this](int a, int b) {
      const LastAdd &x = LastOf(a), &y = LastOf(b);
      return std::pair(x.run, x.calls) < std::pair(y.run, y.calls);
    });
    const uint32_t channel = edit_.NewChannel();
    for (int reduce : reduces) Place(reduce, channel, norm);
    // The others stage what arrives in the same bytes.
    for (int i = 0; i < edit_.size() && !reduces.empty(); ++i) {
      Instruction& instruction = edit_.at(i);
      if (instruction.kind() != Instruction::REDUCE || instruction.channel() != 0) continue;
      instruction.add_after(static_cast<uint32_t>(reduces.back()));
    }
    edit_.Finish();
  }

 private:
  const LastAdd& LastOf(int reduce) { return last_.at(static_cast<int>(edit_.at(reduce).bucket())); }

  void FindLastAdds() {
    std::map<std::pair<uint32_t, int>, std::map<int, int>> adds;  // (stage, phase) -> bucket -> last call
    for (int i = 0; i < edit_.size(); ++i) {
      const Instruction& run = edit_.at(i);
      if (run.kind() != Instruction::RUN) continue;
      const auto [found, is_new] = adds.try_emplace({run.stage(), run.phase()});
      if (is_new) {
        const proto::StageProgram& stage = program_.stages(static_cast<int>(run.stage()));
        for (const RunGradient& gradient :
             chunks_.GradientsOf(stage, *FindPhase(stage, run.phase()), PlaceOf(plan_, rank_))) {
          found->second[gradient.of.bucket] = gradient.last_call;  // ascending
        }
      }
      for (const auto& [bucket, call] : found->second) last_[bucket] = {i, call + 1};
    }
  }

  void Place(int reduce, uint32_t channel, int norm) {
    const LastAdd& last = LastOf(reduce);
    const Instruction& run = edit_.at(last.run);
    Instruction& out = edit_.at(reduce);
    out.set_channel(channel);
    const proto::StageProgram& stage = program_.stages(static_cast<int>(run.stage()));
    if (last.calls < FindPhase(stage, run.phase())->calls_size()) {
      out.mutable_begins()->set_instruction(static_cast<uint32_t>(last.run));
      out.mutable_begins()->set_calls(static_cast<uint32_t>(last.calls));
    } else {
      out.add_after(static_cast<uint32_t>(last.run));
    }
    edit_.MoveBehind(BehindWhich(last.run), reduce);
    edit_.at(norm).add_after(static_cast<uint32_t>(reduce));
  }

  int BehindWhich(int run) {
    const Instruction& of = edit_.at(run);
    for (const RunReduce& place : places_) {
      if (place.stage == static_cast<int>(of.stage()) && place.phase == of.phase()) return place.before - 1;
    }
    return run;
  }

  const proto::ExecutionPlan& plan_;
  const Chunks& chunks_;
  const std::vector<RunReduce>& places_;
  const proto::Program& program_;
  const int rank_;
  ListEdit edit_;
  std::map<int, LastAdd> last_;  // by bucket
};

}  // namespace

void ReduceEarly(const proto::ExecutionPlan& plan, const std::vector<std::vector<RunReduce>>& places,
                 proto::Program* program) {
  const Chunks chunks(plan);
  for (int rank = 0; rank < program->ranks_size(); ++rank) {
    EarlyReduces(plan, chunks, places[rank], program, rank).Write();
  }
}

}  // namespace millrace
