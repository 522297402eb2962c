#include "tests/runtime/plan/tiny_lists.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace millrace {
namespace {

using proto::Instruction;

constexpr uint64_t kScratchBytes = 1536;

// Hands out slots of a rank's pools and remembers who used them, so that `after` and the live bytes follow.
class Lister {
 public:
  Lister(proto::Program* program, const TinyPlanOptions& options) : program_(program), options_(options) {
    const int p = options.stages;
    ranks_.resize(p);
    for (int s = 0; s < p; ++s) ranks_[s].pools.resize(s == 0 || s == p - 1 ? 3 : 4);
  }

  void ListAll() {
    const int p = options_.stages;
    std::vector<std::vector<std::pair<proto::Phase, int>>> actions;
    for (int s = 0; s < p; ++s) actions.push_back(Actions(s));
    std::vector<size_t> next(p, 0);
    for (bool more = true; more;) {
      more = false;
      // One tick: the ranks that can, run one action each; then what they made goes to the neighbours.
      std::vector<std::pair<int, std::pair<proto::Phase, int>>> ran;
      for (int s = 0; s < p; ++s) {
        if (next[s] == actions[s].size() || !CanRun(s, actions[s][next[s]])) continue;
        ran.push_back({s, actions[s][next[s]++]});
        more = true;
      }
      for (const auto& [s, action] : ran) Run(s, action.first, action.second);
      for (const auto& [s, action] : ran) {
        if (action.first == proto::F && s < p - 1) Transfer(s, s, action.second, s, s + 1);
        if ((action.first == proto::B || action.first == proto::BW) && s > 0)
          Transfer(s, p - 1 + s - 1, action.second, s, s - 1);
      }
    }
    for (int s = 0; s < p; ++s) EndOfStep(s);
    for (int s = 0; s < p; ++s) Close(s);
  }

 private:
  struct Slot {
    std::vector<int> users;
    int begin = 0, readers_left = 0;
  };
  struct Rank {
    std::vector<std::vector<Slot>> pools;
    std::map<std::pair<int, int>, int> slot_of;           // (pool, micro-batch)
    std::set<std::pair<bool, int>> arrived;               // (backward, micro-batch)
    std::vector<int> alive_change;                        // in slots
    std::vector<std::vector<std::pair<int, int>>> stays;  // by pool: begin and end
  };

  std::vector<std::pair<proto::Phase, int>> Actions(int s) const {
    const int m = options_.micro_batches;
    const int warm_up = options_.gpipe ? m : std::min(m, options_.stages - s - 1);
    std::vector<std::pair<proto::Phase, int>> list;
    const auto backward = [&](int i) {
      list.push_back({options_.split ? proto::B : proto::BW, i});
      if (options_.split) list.push_back({proto::W, i});
    };
    int f = 0, b = 0;
    while (f < warm_up) list.push_back({proto::F, f++});
    while (f < m) {
      list.push_back({proto::F, f++});
      backward(b++);
    }
    while (b < m) backward(b++);
    return list;
  }

  bool CanRun(int s, std::pair<proto::Phase, int> action) const {
    if (action.first == proto::F) return s == 0 || ranks_[s].arrived.contains({false, action.second});
    return action.first == proto::W || s == options_.stages - 1 || ranks_[s].arrived.contains({true, action.second});
  }

  Instruction* Add(int s, Instruction::Kind kind) {
    Instruction* instruction = program_->mutable_ranks(s)->add_instructions();
    instruction->set_kind(kind);
    return instruction;
  }
  int Last(int s) const { return program_->ranks(s).instructions_size() - 1; }

  void Use(int s, Instruction* instruction, int pool, int mb, bool writes, int readers) {
    Rank& rank = ranks_[s];
    std::vector<Slot>& slots = rank.pools[pool];
    rank.stays.resize(rank.pools.size());
    if (writes) {
      int slot = 0;
      while (slot < static_cast<int>(slots.size()) && slots[slot].readers_left > 0) ++slot;
      if (slot == static_cast<int>(slots.size())) slots.emplace_back();
      for (int user : slots[slot].users) After(s, instruction, user);
      slots[slot] = {{}, Last(s), readers};
      rank.slot_of[{pool, mb}] = slot;
    }
    const int slot = rank.slot_of.at({pool, mb});
    if (!writes) {
      for (int user : slots[slot].users) After(s, instruction, user);
      if (--slots[slot].readers_left == 0) rank.stays[pool].push_back({slots[slot].begin, Last(s)});
    }
    slots[slot].users.push_back(Last(s));
    proto::SlotUse& use = *instruction->add_slots();
    use.set_pool(pool);
    use.set_slot(slot);
  }

  void After(int s, Instruction* instruction, int earlier) {
    const auto& after = instruction->after();
    if (program_->ranks(s).instructions(earlier).channel() == instruction->channel()) return;
    if (std::find(after.begin(), after.end(), earlier) == after.end()) instruction->add_after(earlier);
  }

  void Run(int s, proto::Phase phase, int mb) {
    const TinyPools pools(s, options_.stages);
    const bool last = s == options_.stages - 1;
    // Readers of "in": F, W and on the last rank B; of "dy": B and W; BW counts once.
    if (phase == proto::F && s == 0) {
      Instruction* load = Add(s, Instruction::LOAD);
      load->set_micro_batch(mb);
      Use(s, load, pools.in, mb, true, 2);
    }
    Instruction* run = Add(s, Instruction::RUN);
    run->set_stage(s);
    run->set_phase(phase);
    run->set_micro_batch(mb);
    run->set_seconds(phase == proto::F   ? options_.forward
                     : phase == proto::B ? options_.backward
                     : phase == proto::W ? options_.weight
                                         : options_.backward + options_.weight);
    if (phase == proto::F) {
      Use(s, run, pools.in, mb, false, 0);
      if (!last) Use(s, run, pools.out, mb, true, 1);
      return;
    }
    if (phase == proto::W) {
      Use(s, run, pools.in, mb, false, 0);
      Use(s, run, pools.dy, mb, false, 0);
      return;
    }
    const bool joint = phase == proto::BW;
    if (last || joint) Use(s, run, pools.in, mb, false, 0);
    if (last) {
      Use(s, run, pools.dy, mb, true, joint ? 0 : 1);
      if (joint) ranks_[s].stays[pools.dy].push_back({Last(s), Last(s)});
    } else {
      Use(s, run, pools.dy, mb, false, 0);
    }
    if (pools.dx >= 0) Use(s, run, pools.dx, mb, true, 1);
  }

  void Transfer(int s, int edge, int mb, int from, int to) {
    const bool backward = to < from;
    const TinyPools sender(from, options_.stages), receiver(to, options_.stages);
    Instruction* send = Add(from, Instruction::SEND);
    send->set_channel(backward ? 3 : 1);
    send->set_seconds(options_.send);
    Instruction* receive = Add(to, Instruction::RECV);
    receive->set_channel(backward ? 4 : 2);
    for (Instruction* end : {send, receive}) {
      end->set_edge(edge);
      end->set_micro_batch(mb);
    }
    const bool to_last = to == options_.stages - 1;
    Use(from, send, backward ? sender.dx : sender.out, mb, false, 0);
    Use(to, receive, backward ? receiver.dy : receiver.in, mb, true,
        backward ? (options_.split ? 2 : 1) : (options_.split && to_last ? 3 : 2));
    ranks_[to].arrived.insert({backward, mb});
  }

  void EndOfStep(int s) {
    const int p = options_.stages;
    const bool tied = s == 0 || s == p - 1;
    if (tied) Add(s, Instruction::REDUCE)->set_bucket(p);
    Add(s, Instruction::NORM);
    Add(s, Instruction::STEP)->set_bucket(s);
    if (s == 0) Add(s, Instruction::STEP)->set_bucket(p);
    if (tied) Add(s, Instruction::GATHER)->set_bucket(p);
    Add(s, Instruction::PREPARE)->set_stage(s);
  }

  // Lays out the pools and counts the live bytes, instruction by instruction.
  void Close(int s) {
    proto::RankProgram& list = *program_->mutable_ranks(s);
    const bool first = s == 0, last = s == options_.stages - 1;
    list.set_scratch_offset(tiny::kTransient);
    list.set_scratch_bytes(kScratchBytes);
    uint64_t offset = tiny::kTransient + kScratchBytes;
    const char* const names[] = {"in", last ? "dy" : "out", last ? "dx" : "dy", "dx"};
    for (size_t i = 0; i < ranks_[s].pools.size(); ++i) {
      proto::Pool& pool = *list.add_pools();
      pool.set_name(names[i]);
      pool.set_offset(offset);
      pool.set_stride(256);
      pool.set_slots(ranks_[s].pools[i].size());
      offset += 256 * pool.slots();
    }
    std::vector<int64_t> change(list.instructions_size() + 1, 0);
    for (const auto& stays : ranks_[s].stays) {
      for (const auto& [begin, end] : stays) change[begin] += 256, change[end + 1] -= 256;
    }
    uint64_t largest = 0, alive = 0;
    for (int i = 0; i < list.instructions_size(); ++i) {
      alive += change[i];
      uint64_t bytes = alive;
      const Instruction& run = list.instructions(i);
      if (run.kind() == Instruction::RUN) {
        bytes += run.phase() == proto::F   ? (first  ? 256
                                              : last ? 512
                                                     : 0)
                 : run.phase() == proto::B ? (first ? 256 : 0)
                                           : 256;
      }
      largest = std::max(largest, bytes);
    }
    list.set_largest_live_bytes(tiny::kTransient + largest);
  }

  proto::Program* program_;
  const TinyPlanOptions options_;
  std::vector<Rank> ranks_;
};

}  // namespace

void ListTinyInstructions(const TinyPlanOptions& options, proto::Program* program) {
  Lister(program, options).ListAll();
}

}  // namespace millrace
