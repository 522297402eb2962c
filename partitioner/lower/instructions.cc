#include "partitioner/lower/instructions.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace millrace {
namespace {

using proto::Instruction;

class Emitter {
 public:
  Emitter(const Flow& flow, const Pools& pools, const std::vector<Step>& list, const std::vector<int>& edge_of_transfer,
          const StepSeconds& seconds, proto::RankProgram* out)
      : flow_(flow), pools_(pools), list_(list), edges_(edge_of_transfer), seconds_(seconds), out_(out) {
    for (const Step& step : list) {
      if (step.kind == Instruction::SEND || step.kind == Instruction::RECV) ChannelOf(step);
    }
    clocks_.assign(list.size(), std::vector<int>(channels_.size() + 1, -1));
    last_.assign(channels_.size() + 1, -1);
  }

  void Emit() {
    for (i_ = 0; i_ < static_cast<int>(list_.size()); ++i_) {
      Instruction& out = *out_->add_instructions();
      needed_.clear();
      Fill(list_[i_], &out);
      Order(&out);
    }
  }

 private:
  // Who touched a slot last.
  struct Access {
    int writer = -1;
    std::vector<int> readers;  // since then
  };

  int ChannelOf(const Step& step) {
    const bool send = step.kind == Instruction::SEND;
    const Transfer& transfer = flow_.transfers[step.index];
    const int peer = flow_.residents[send ? transfer.to : transfer.from].rank;
    return channels_.emplace(std::pair(peer, send), static_cast<int>(channels_.size()) + 1).first->second;
  }

  void Fill(const Step& step, Instruction* out) {
    out->set_kind(step.kind);
    out->set_micro_batch(step.micro_batch);
    switch (step.kind) {
      case Instruction::LOAD:
        out->set_stage(step.index);
        out->set_seconds(seconds_.load(step.index));
        for (int p : pools_.loads_of[step.index]) Use(p, step.index, step.micro_batch, true, out);
        return;
      case Instruction::RUN: {
        const PhaseRun& run = flow_.runs[step.index];
        out->set_stage(run.stage);
        out->set_phase(run.phase);
        out->set_seconds(run.seconds);
        const std::vector<int>& writes = pools_.writes_of[step.index];
        for (int p : pools_.of_run[step.index]) {
          Use(p, run.stage, step.micro_batch, std::binary_search(writes.begin(), writes.end(), p), out);
        }
        return;
      }
      default: {
        const Transfer& transfer = flow_.transfers[step.index];
        const bool send = step.kind == Instruction::SEND;
        out->set_edge(edges_[step.index]);
        out->set_channel(ChannelOf(step));
        out->set_seconds(seconds_.transfer(transfer));
        const int resident = send ? transfer.from : transfer.to;
        Use(pools_.pool_of[resident], flow_.residents[resident].stage, step.micro_batch, !send, out);
      }
    }
  }

  void Use(int pool, int stage, int micro_batch, bool writes, Instruction* out) {
    const int slot = pools_.pools[pool].At(stage, micro_batch).slot;
    proto::SlotUse& use = *out->add_slots();
    use.set_pool(pools_.pools[pool].index);
    use.set_slot(slot);
    Access& access = accesses_[{pool, slot}];
    if (access.writer >= 0) needed_.insert(access.writer);
    if (!writes) {
      access.readers.push_back(i_);
      return;
    }
    needed_.insert(access.readers.begin(), access.readers.end());
    access = {i_, {}};
  }

  // Sets `after`, from the latest back, and the instruction's clock: per channel the last one known to be over.
  void Order(Instruction* out) {
    std::vector<int>& clock = clocks_[i_];
    const auto join = [&](int earlier) {
      for (size_t c = 0; c < clock.size(); ++c) clock[c] = std::max(clock[c], clocks_[earlier][c]);
      int& own = clock[out_->instructions(earlier).channel()];
      own = std::max(own, earlier);
    };
    int& previous = last_[out->channel()];
    if (previous >= 0) join(previous);
    previous = i_;
    std::vector<int> after;
    for (auto earlier = needed_.rbegin(); earlier != needed_.rend(); ++earlier) {
      if (clock[out_->instructions(*earlier).channel()] >= *earlier) continue;
      after.push_back(*earlier);
      join(*earlier);
    }
    std::sort(after.begin(), after.end());
    for (int earlier : after) out->add_after(earlier);
  }

  const Flow& flow_;
  const Pools& pools_;
  const std::vector<Step>& list_;
  const std::vector<int>& edges_;
  const StepSeconds& seconds_;
  proto::RankProgram* const out_;
  std::map<std::pair<int, bool>, int> channels_;    // (peer, is it a SEND)
  std::map<std::pair<int, int>, Access> accesses_;  // (pool, slot)
  std::vector<std::vector<int>> clocks_;
  std::vector<int> last_;  // by channel
  std::set<int> needed_;   // by the current instruction
  int i_ = 0;
};

}  // namespace

void EmitInstructions(const Flow& flow, const Pools& pools, const std::vector<Step>& list,
                      const std::vector<int>& edge_of_transfer, const StepSeconds& seconds, proto::RankProgram* out) {
  Emitter(flow, pools, list, edge_of_transfer, seconds, out).Emit();
}

}  // namespace millrace
