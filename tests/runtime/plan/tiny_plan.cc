#include "tests/runtime/plan/tiny_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/plan/plan.h"

namespace millrace {
namespace {

using proto::Instruction;

constexpr uint64_t kScratchBytes = 1536;

proto::TensorType Type(proto::DataType dtype, std::vector<int64_t> dims) {
  proto::TensorType type;
  type.set_dtype(dtype);
  type.mutable_dims()->Assign(dims.begin(), dims.end());
  return type;
}

int AddValue(proto::StageProgram* stage, const std::string& name, proto::TensorType type, proto::Life life, int pool,
             uint64_t offset, uint64_t bytes) {
  proto::Value& value = *stage->add_values();
  value.set_name(name);
  *value.mutable_type() = type;
  value.set_life(life);
  value.set_pool(pool);
  value.set_offset(offset);
  value.set_bytes(bytes);
  return stage->values_size() - 1;
}

proto::KernelCall* AddCall(proto::PhaseProgram* phase, const std::string& op, std::vector<int> inputs, int output) {
  proto::KernelCall* call = phase->add_calls();
  call->set_node(op + std::to_string(phase->calls_size()));
  call->set_op(op);
  call->mutable_inputs()->Assign(inputs.begin(), inputs.end());
  call->add_outputs(output);
  call->set_packed_offset(-1);
  return call;
}

void SetInt(proto::KernelCall* call, const std::string& name, int64_t value) {
  proto::Attribute& attribute = *call->add_attributes();
  attribute.set_name(name);
  attribute.set_i(value);
}

// Pool numbers of rank s; -1: it has none.
struct Pools {
  int in = 0, out = -1, dy = -1, dx = -1;
  Pools(int s, int p) {
    int next = 1;
    if (s < p - 1) out = next++;
    dy = next++;
    if (s > 0) dx = next++;
  }
};

// The stage's values by number, in the order in which they are added.
struct Values {
  int x, w, y, dy, dx, gw, tied, gtied, z, r, c, t, loss, count;
};

Values AddValues(proto::StageProgram* stage, int s, int p, bool split) {
  const Pools pools(s, p);
  const bool last = s == p - 1;
  const auto tensor = Type(proto::F32, {2, 4}), vector = Type(proto::F32, {4});
  const auto f32 = Type(proto::F32, {}), f64 = Type(proto::F64, {});
  const std::string n = std::to_string(s);
  Values v;
  v.x = AddValue(stage, s == 0 ? "x" : "h" + std::to_string(s - 1), tensor, s == 0 ? proto::LOADED : proto::RECEIVED,
                 pools.in, 0, 32);
  v.w = AddValue(stage, "w" + n, vector, proto::PARAMETER, -1, tiny::kWeight, 16);
  v.y = AddValue(stage, "h" + n, tensor, last ? proto::SCRATCH : proto::SENT, pools.out,
                 last ? tiny::kTransient + 256 : 0, 32);
  v.dy = AddValue(stage, "d/h" + n, tensor,
                  !last   ? proto::RECEIVED
                  : split ? proto::STASH_BW
                          : proto::STASH_FB,
                  pools.dy, 0, 32);
  v.dx = AddValue(stage, "d/h" + std::to_string(s - 1), tensor, s == 0 ? proto::SCRATCH : proto::SENT, pools.dx,
                  s == 0 ? tiny::kTransient + 1280 : 0, 32);
  v.gw = AddValue(stage, "grad/w" + n, vector, proto::GRADIENT, -1, tiny::kGradient, 16);
  v.tied = v.gtied = v.z = v.r = v.c = v.loss = v.count = -1;
  if (s == 0 || last) {
    v.tied = AddValue(stage, "tied", vector, proto::PARAMETER, -1, tiny::kTied, 16);
    v.gtied = AddValue(stage, "grad/tied", vector, proto::GRADIENT, -1, tiny::kTiedGradient, 16);
    v.z = AddValue(stage, "z" + n, tensor, proto::SCRATCH, -1, tiny::kTransient, 32);
  }
  if (last) {
    v.r = AddValue(stage, "sum", f32, proto::SCRATCH, -1, tiny::kTransient + 512, 4);
    v.c = AddValue(stage, "loss", f64, proto::SCRATCH, -1, tiny::kTransient + 768, 8);
    v.loss = AddValue(stage, "loss_sum", f64, proto::METRIC, -1, tiny::kLossSum, 8);
    v.count = AddValue(stage, "loss_count", f64, proto::METRIC, -1, tiny::kLossCount, 8);
  }
  v.t = AddValue(stage, "t", tensor, proto::SCRATCH, -1, tiny::kTransient + 1024, 32);
  return v;
}

void AddForward(proto::StageProgram* stage, const Values& v, const Pools& pools, bool last) {
  proto::PhaseProgram* f = stage->add_phases();
  f->set_phase(proto::F);
  f->add_pools(pools.in);
  if (!last) f->add_pools(pools.out);
  if (v.tied >= 0) AddCall(f, "Add", {v.x, v.tied}, v.z);
  AddCall(f, "Mul", {v.tied >= 0 ? v.z : v.x, v.w}, v.y);
  if (!last) return;
  SetInt(AddCall(f, "ReduceSum", {v.y}, v.r), "keepdims", 0);
  SetInt(AddCall(f, "Cast", {v.r}, v.c), "to", proto::F64);
  AddCall(f, "Accumulate", {v.c}, v.loss);
  AddCall(f, "Accumulate", {v.c}, v.count);
}

void AddInputGradient(proto::PhaseProgram* b, const Values& v, bool last) {
  if (last) AddCall(b, "Neg", {v.x}, v.dy);
  AddCall(b, "Mul", {v.dy, v.w}, v.dx);
}

void AddWeightGradient(proto::PhaseProgram* w, const Values& v) {
  AddCall(w, "Mul", {v.dy, v.x}, v.t);
  SetInt(AddCall(w, "ReduceSumTo", {v.t}, v.gw), "accumulate", 1);
  if (v.tied >= 0) SetInt(AddCall(w, "ReduceSumTo", {v.dy}, v.gtied), "accumulate", 1);
}

void AddBackward(proto::StageProgram* stage, const Values& v, const Pools& pools, bool last, bool split) {
  proto::PhaseProgram* b = stage->add_phases();
  b->set_phase(split ? proto::B : proto::BW);
  if (last || !split) b->add_pools(pools.in);
  b->add_pools(pools.dy);
  if (pools.dx >= 0) b->add_pools(pools.dx);
  AddInputGradient(b, v, last);
  proto::PhaseProgram* w = split ? stage->add_phases() : b;
  if (split) {
    w->set_phase(proto::W);
    w->add_pools(pools.in);
    w->add_pools(pools.dy);
  }
  AddWeightGradient(w, v);
}

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
    const Pools pools(s, options_.stages);
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
    const Pools sender(from, options_.stages), receiver(to, options_.stages);
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
    uint64_t largest = 0;
    for (int i = 0; i < list.instructions_size(); ++i) {
      uint64_t bytes = 0;
      for (const auto& stays : ranks_[s].stays) {
        for (const auto& [begin, end] : stays) bytes += begin <= i && i <= end ? 256 : 0;
      }
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

void AddRegion(proto::Rank* rank, const std::string& name, proto::Life life, uint64_t begin, uint64_t end) {
  proto::Region& region = *rank->add_regions();
  region.set_name(name);
  region.set_life(life);
  region.set_offset(begin);
  region.set_bytes(end - begin);
}

void AddParameter(proto::ExecutionPlan* plan, const std::string& name, std::vector<int> ranks, uint64_t weight,
                  uint64_t gradient, uint64_t states) {
  proto::PlannedParameter& parameter = *plan->add_parameters();
  parameter.set_name(name);
  *parameter.mutable_type() = Type(proto::F32, {4});
  parameter.mutable_initializer()->set_kind(proto::Initializer::ONES);
  parameter.set_trainable(true);
  proto::Bucket& bucket = *plan->add_buckets();
  bucket.set_owner(ranks[0]);
  bucket.add_parameters(plan->parameters_size() - 1);
  for (size_t i = 0; i < ranks.size(); ++i) {
    bucket.add_group(ranks[i]);
    proto::ParameterPlace& place = *parameter.add_places();
    place.set_rank(ranks[i]);
    place.set_weight_offset(weight);
    proto::GradientPlace& use = *place.add_gradients();
    use.set_order(i);
    use.set_offset(gradient);
    use.set_node("ReduceSumTo");
    if (i > 0) bucket.add_staging_offsets(tiny::kStaging);
  }
  proto::OptimizerState& state = *bucket.add_states();
  state.add_offsets(states);
  state.add_offsets(states + 256);
}

void AddEdge(proto::Program* program, const std::string& name, int from, int to, int from_value, int to_value) {
  proto::Edge& edge = *program->add_edges();
  edge.set_name(name);
  edge.set_from_stage(from);
  edge.set_to_stage(to);
  edge.set_backward(to < from);
  edge.set_from_value(from_value);
  edge.set_to_value(to_value);
  edge.set_bytes(32);
}

}  // namespace

proto::ExecutionPlan TinyPlan(const TinyPlanOptions& options) {
  const int p = options.stages;
  proto::ExecutionPlan plan;
  plan.set_schema_version(1);
  plan.set_model_name("tiny");
  plan.set_pp(p);
  plan.set_dp(1);
  plan.set_optimizer("adamw");
  proto::Program* program = plan.add_programs();
  program->set_name("train");
  program->set_micro_batches(options.micro_batches);
  program->set_micro_batch_size(2);
  std::vector<Values> values;
  for (int s = 0; s < p; ++s) {
    proto::StageProgram* stage = program->add_stages();
    stage->set_stage(s);
    values.push_back(AddValues(stage, s, p, options.split));
    AddForward(stage, values[s], Pools(s, p), s == p - 1);
    AddBackward(stage, values[s], Pools(s, p), s == p - 1, options.split);
    AddParameter(&plan, "w" + std::to_string(s), {s}, tiny::kWeight, tiny::kGradient, tiny::kStates);
    proto::RankProgram* list = program->add_ranks();
    list->set_rank(s);
    list->add_stages(s);
  }
  AddParameter(&plan, "tied", {0, p - 1}, tiny::kTied, tiny::kTiedGradient, tiny::kTiedStates);
  const proto::StageProgram& last = program->stages(p - 1);
  *program->mutable_ranks(p - 1)->add_metrics() = last.values(values[p - 1].loss);
  *program->mutable_ranks(p - 1)->add_metrics() = last.values(values[p - 1].count);
  for (int s = 0; s + 1 < p; ++s) AddEdge(program, "h" + std::to_string(s), s, s + 1, values[s].y, values[s + 1].x);
  for (int s = 1; s < p; ++s) AddEdge(program, "d/h" + std::to_string(s - 1), s, s - 1, values[s].dx, values[s - 1].dy);
  Lister(program, options).ListAll();
  for (int s = 0; s < p; ++s) {
    const proto::Pool& top = *program->ranks(s).pools().rbegin();
    proto::Rank* rank = plan.add_ranks();
    rank->set_rank(s);
    rank->set_pipeline(s);
    rank->set_device("cpu:0");
    rank->set_arena_bytes(top.offset() + top.slots() * top.stride());
    rank->set_memory_limit(rank->arena_bytes());
    AddRegion(rank, "weights", proto::PARAMETER, tiny::kWeight, tiny::kGradient);
    AddRegion(rank, "gradients", proto::GRADIENT, tiny::kGradient, tiny::kStates);
    AddRegion(rank, "optimizer", proto::OPTIMIZER, tiny::kStates, tiny::kLossSum);
    AddRegion(rank, "metrics", proto::METRIC, tiny::kLossSum, tiny::kStaging);
    AddRegion(rank, "staging", proto::GRADIENT, tiny::kStaging, tiny::kTransient);
    AddRegion(rank, "TRANSIENT", proto::LIFE_UNSPECIFIED, tiny::kTransient, rank->arena_bytes());
  }
  SealPlan(&plan);
  return plan;
}

}  // namespace millrace
