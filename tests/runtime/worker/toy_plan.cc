#include "tests/runtime/worker/toy_plan.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

using proto::Instruction;

// Builds one plan. Persistent regions first, then for each program its pools and scratch, from the same offset.
class ToyBuilder {
 public:
  explicit ToyBuilder(const ToyOptions& options) : o_(options), arena_(options.ranks, 0) {}

  proto::ExecutionPlan Build() {
    plan_.set_schema_version(1);
    plan_.set_model_name("toy");
    plan_.set_pp(o_.ranks);
    plan_.set_dp(1);
    plan_.set_optimizer(o_.optimizer);
    plan_.set_sum_order(proto::MICRO_BATCHES_FIRST);
    plan_.set_norm_block_elements(o_.norm_block_elements);
    AddInput("features", proto::F32, {-1, o_.columns}, proto::Input::FEATURES);
    AddInput("labels", proto::I64, {-1}, proto::Input::LABELS);
    for (int r = 0; r < o_.ranks; ++r) {
      plan_.add_ranks()->set_rank(r);
      plan_.mutable_ranks(r)->set_pipeline(r);
      metrics_.push_back(Take(r, 512));
    }
    for (int p = 0; p < Parameters(); ++p) AddParameter(p);
    const std::vector<uint64_t> persistent = arena_;
    std::vector<uint64_t> most = arena_;
    for (const bool train : {true, false}) {
      arena_ = persistent;
      AddProgram(train);
      for (int r = 0; r < o_.ranks; ++r) most[r] = std::max(most[r], arena_[r]);
    }
    for (int r = 0; r < o_.ranks; ++r) plan_.mutable_ranks(r)->set_arena_bytes(most[r]);
    return plan_;
  }

 private:
  int RankOf(int stage) const { return stage * o_.ranks / o_.stages; }
  int Parameters() const { return o_.tied ? o_.stages - 1 : o_.stages; }
  int ParameterOf(int stage) const { return o_.tied && stage == o_.stages - 1 ? 0 : stage; }
  uint64_t WeightBytes() const { return o_.rows * o_.columns * 4; }

  uint64_t Take(int rank, uint64_t bytes) {
    const uint64_t at = arena_[rank];
    arena_[rank] += (bytes + 255) / 256 * 256;
    return at;
  }

  void AddInput(const std::string& name, DType dtype, const std::vector<int64_t>& dims, proto::Input::Role role) {
    proto::Input* input = plan_.add_inputs();
    input->set_name(name);
    input->set_role(role);
    *input->mutable_type() = TensorSpec{dtype, dims}.ToProto();
  }

  void AddParameter(int p) {
    proto::PlannedParameter* parameter = plan_.add_parameters();
    parameter->set_name(absl::StrCat("weight", p));
    *parameter->mutable_type() = TensorSpec{proto::F32, {o_.rows, o_.columns}}.ToProto();
    parameter->mutable_initializer()->set_kind(proto::Initializer::NORMAL);
    parameter->mutable_initializer()->set_value(1);
    parameter->mutable_initializer()->set_scale(0.25);
    parameter->set_trainable(true);
    parameter->set_decay(p % 2 == 0);
    proto::Bucket* bucket = plan_.add_buckets();
    bucket->add_parameters(p);
    for (int stage = 0; stage < o_.stages; ++stage) {
      if (ParameterOf(stage) != p) continue;
      const int rank = RankOf(stage);
      proto::ParameterPlace* place = nullptr;
      for (proto::ParameterPlace& known : *parameter->mutable_places()) {
        if (static_cast<int>(known.rank()) == rank) place = &known;
      }
      if (place == nullptr) {
        place = parameter->add_places();
        place->set_rank(rank);
        place->set_weight_offset(Take(rank, WeightBytes()));
        bucket->add_group(rank);
      }
      proto::GradientPlace* gradient = place->add_gradients();
      gradient->set_order(stage);
      gradient->set_offset(Take(rank, WeightBytes()));
      gradient->set_node(absl::StrCat("mul", stage));
      gradients_[stage] = gradient->offset();
      weights_[stage] = place->weight_offset();
      packed_[stage] = Take(rank, WeightBytes());
    }
    const int owner = static_cast<int>(parameter->places(0).rank());
    bucket->set_owner(owner);
    proto::OptimizerState* state = bucket->add_states();
    for (int k = 0; k < (o_.optimizer == "adamw" ? 2 : 1); ++k) state->add_offsets(Take(owner, WeightBytes()));
    for (int i = 1; i < parameter->places_size(); ++i) bucket->add_staging_offsets(Take(owner, WeightBytes()));
  }

  // -- One program ----------------------------------------------------------------------------------------------------

  int AddPool(proto::RankProgram* rank, const std::string& name, proto::Life life, uint64_t bytes) {
    proto::Pool* pool = rank->add_pools();
    pool->set_name(name);
    pool->set_life(life);
    pool->set_stride((bytes + 255) / 256 * 256);
    pool->set_slots(o_.micro_batches);
    pool->set_offset(Take(static_cast<int>(rank->rank()), pool->stride() * pool->slots()));
    return rank->pools_size() - 1;
  }

  int AddValue(int stage, const std::string& name, const TensorSpec& spec, proto::Life life, int pool,
               uint64_t offset) {
    proto::StageProgram* program = program_->mutable_stages(stage);
    proto::Value* value = program->add_values();
    value->set_name(name);
    *value->mutable_type() = spec.ToProto();
    value->set_life(life);
    value->set_pool(pool);
    value->set_offset(offset);
    value->set_bytes(spec.bytes());
    return program->values_size() - 1;
  }
  int Pooled(int stage, const std::string& name, const TensorSpec& spec, proto::Life life) {
    return AddValue(stage, name, spec, life, AddPool(RankProgramOf(stage), name, life, spec.bytes()), 0);
  }
  int Fixed(int stage, const std::string& name, const TensorSpec& spec, proto::Life life) {
    return AddValue(stage, name, spec, life, -1, Take(RankOf(stage), spec.bytes()));
  }
  proto::RankProgram* RankProgramOf(int stage) { return program_->mutable_ranks(RankOf(stage)); }
  int PoolOf(int stage, int value) { return program_->stages(stage).values(value).pool(); }

  void Call(int stage, proto::Phase phase, const std::string& op, const std::vector<int>& inputs,
            const std::vector<int>& outputs) {
    proto::StageProgram* program = program_->mutable_stages(stage);
    proto::PhaseProgram* calls = nullptr;
    for (proto::PhaseProgram& known : *program->mutable_phases()) {
      if (known.phase() == phase) calls = &known;
    }
    if (calls == nullptr) calls = program->add_phases();
    calls->set_phase(phase);
    proto::KernelCall* call = calls->add_calls();
    call->set_node(absl::StrCat(op, stage));
    call->set_op(op);
    call->mutable_inputs()->Assign(inputs.begin(), inputs.end());
    call->mutable_outputs()->Assign(outputs.begin(), outputs.end());
    call->set_packed_offset(-1);
    if (o_.scratch_bytes > 0) {
      call->set_scratch_offset(Take(RankOf(stage), o_.scratch_bytes));
      call->set_scratch_bytes(o_.scratch_bytes);
    }
    if (o_.packed && phase == proto::F && op == "Mul") {
      call->set_packed_offset(packed_[stage]);
      call->set_packed_bytes(WeightBytes());
      Attributes().SetInt("packed", 1).CopyTo(call->mutable_attributes());
      program->add_prepare()->set_phase(phase);
    }
  }

  // Values of a stage by what they are.
  struct StageValues {
    int x = -1, y = -1, dy = -1, dx = -1;
  };

  void AddProgram(bool train) {
    program_ = plan_.add_programs();
    program_->set_name(train ? "train" : "eval");
    program_->set_micro_batch_size(o_.rows);
    program_->set_micro_batches(o_.micro_batches);
    for (int r = 0; r < o_.ranks; ++r) {
      program_->add_ranks()->set_rank(r);
      program_->mutable_ranks(r)->set_scratch_offset(arena_[r]);
    }
    for (int s = 0; s < o_.stages; ++s) {
      program_->add_stages()->set_stage(s);
      RankProgramOf(s)->add_stages(s);
    }
    values_.assign(o_.stages, {});
    for (int s = 0; s < o_.stages; ++s) AddForward(s);
    if (train) {
      for (int s = o_.stages - 1; s >= 0; --s) AddBackward(s);
    }
    forward_.clear();
    backward_.clear();
    AddEdges(train);
    AddInstructions(train);
  }

  void AddForward(int s) {
    const TensorSpec wide{proto::F32, {o_.rows, o_.columns}};
    StageValues& v = values_[s];
    if (s == 0) {
      v.x = Pooled(s, "features", wide, proto::LOADED);
    } else if (RankOf(s) == RankOf(s - 1)) {
      v.x = AddValue(s, "x", wide, proto::STASH_FB, PoolOf(s - 1, values_[s - 1].y), 0);
    } else {
      v.x = Pooled(s, absl::StrCat("y", s - 1), wide, proto::RECEIVED);
    }
    const bool last = s == o_.stages - 1;
    v.y = Pooled(s, absl::StrCat("y", s), wide, last ? proto::OUTPUT : proto::SENT);
    const int w = AddValue(s, "weight", wide, proto::PARAMETER, -1, weights_[s]);
    Call(s, proto::F, "Mul", {v.x, w}, {v.y});
    if (!last) return;
    const TensorSpec scalar{proto::F64, {}};
    labels_ = Pooled(s, "labels", {proto::I64, {o_.rows}}, proto::LOADED);
    const int loss = Fixed(s, "loss", scalar, proto::SCRATCH);
    const int count = Fixed(s, "count", scalar, proto::SCRATCH);
    const uint64_t metrics = metrics_[RankOf(s)];
    const int loss_sum = AddValue(s, "loss_sum", scalar, proto::METRIC, -1, metrics);
    const int loss_count = AddValue(s, "loss_count", scalar, proto::METRIC, -1, metrics + 256);
    for (int metric : {loss_sum, loss_count}) {
      *RankProgramOf(s)->add_metrics() = program_->stages(s).values(metric);
    }
    Call(s, proto::F, "SoftmaxCrossEntropyLoss", {v.y, labels_}, {loss, count});
    Call(s, proto::F, "Accumulate", {loss}, {loss_sum});
    Call(s, proto::F, "Accumulate", {count}, {loss_count});
    proto::ProgramOutput* output = program_->add_outputs();
    output->set_name("scores");
    output->set_rank(RankOf(s));
    output->set_stage(s);
    output->set_value(v.y);
  }

  void AddBackward(int s) {
    const TensorSpec wide{proto::F32, {o_.rows, o_.columns}};
    StageValues& v = values_[s];
    if (s == o_.stages - 1) {
      v.dy = Fixed(s, "dy", wide, proto::SCRATCH);
      Call(s, proto::BW, "SoftmaxCrossEntropyLossGrad", {v.y, labels_}, {v.dy});
    } else if (RankOf(s) == RankOf(s + 1)) {
      v.dy = AddValue(s, "dy", wide, proto::STASH_BW, PoolOf(s + 1, values_[s + 1].dx), 0);
    } else {
      v.dy = Pooled(s, absl::StrCat("d/y", s), wide, proto::RECEIVED);
    }
    const int w = AddValue(s, "weight", wide, proto::PARAMETER, -1, weights_[s]);
    const int grad = AddValue(s, "grad", wide, proto::GRADIENT, -1, gradients_[s]);
    const int product = Fixed(s, "product", wide, proto::SCRATCH);
    if (s > 0) {
      v.dx = Pooled(s, absl::StrCat("d/y", s - 1), wide, proto::SENT);
      Call(s, proto::BW, "Mul", {v.dy, w}, {v.dx});
    }
    Call(s, proto::BW, "Mul", {v.dy, v.x}, {product});
    Call(s, proto::BW, "Accumulate", {product}, {grad});
  }

  void AddEdges(bool train) {
    for (int s = 0; s + 1 < o_.stages; ++s) {
      if (RankOf(s) == RankOf(s + 1)) continue;
      for (const bool backward : {false, true}) {
        if (backward && !train) continue;
        (backward ? backward_ : forward_)[s] = program_->edges_size();
        proto::Edge* edge = program_->add_edges();
        edge->set_name(absl::StrCat(backward ? "d/y" : "y", s));
        edge->set_from_stage(backward ? s + 1 : s);
        edge->set_to_stage(backward ? s : s + 1);
        edge->set_backward(backward);
        edge->set_from_value(backward ? values_[s + 1].dx : values_[s].y);
        edge->set_to_value(backward ? values_[s].dy : values_[s + 1].x);
        edge->set_bytes(WeightBytes());
      }
    }
  }

  Instruction* Add(int rank, Instruction::Kind kind, int channel) {
    Instruction* instruction = program_->mutable_ranks(rank)->add_instructions();
    instruction->set_kind(kind);
    instruction->set_channel(channel);
    // Every compute instruction of the toy runs after everything before it, and so does every SEND.
    const int index = program_->ranks(rank).instructions_size() - 1;
    if (kind == Instruction::RECV) return instruction;
    for (int i = 0; i < index; ++i) instruction->add_after(i);
    return instruction;
  }

  void AddRun(int s, proto::Phase phase, int mb) {
    Instruction* run = Add(RankOf(s), Instruction::RUN, 0);
    run->set_stage(s);
    run->set_phase(phase);
    run->set_micro_batch(mb);
    AddSlots(RankOf(s), mb, run);
  }
  void AddSlots(int rank, int mb, Instruction* instruction) {
    for (int pool = 0; pool < program_->ranks(rank).pools_size(); ++pool) {
      proto::SlotUse* use = instruction->add_slots();
      use->set_pool(pool);
      use->set_slot(mb);
    }
  }
  void AddTransfer(int edge, int mb) {
    for (const bool send : {true, false}) {
      const int stage = send ? program_->edges(edge).from_stage() : program_->edges(edge).to_stage();
      const bool backward = program_->edges(edge).backward();
      Instruction* half =
          Add(RankOf(stage), send ? Instruction::SEND : Instruction::RECV, 1 + (send ? 0 : 1) + (backward ? 2 : 0));
      half->set_edge(edge);
      half->set_micro_batch(mb);
      AddSlots(RankOf(stage), mb, half);
    }
  }

  void AddInstructions(bool train) {
    for (int mb = 0; mb < o_.micro_batches; ++mb) {
      for (int s = 0; s < o_.stages; ++s) {
        if (s == 0 || s == o_.stages - 1) {
          Instruction* load = Add(RankOf(s), Instruction::LOAD, 0);
          load->set_stage(s);
          load->set_micro_batch(mb);
          AddSlots(RankOf(s), mb, load);
        }
        AddRun(s, proto::F, mb);
        if (forward_.count(s)) AddTransfer(forward_[s], mb);
      }
    }
    if (!train) return;
    for (int mb = 0; mb < o_.micro_batches; ++mb) {
      for (int s = o_.stages - 1; s >= 0; --s) {
        AddRun(s, proto::BW, mb);
        if (backward_.count(s - 1)) AddTransfer(backward_[s - 1], mb);
      }
    }
    ForBuckets(Instruction::REDUCE);
    for (int r = 0; r < o_.ranks; ++r) Add(r, Instruction::NORM, 0);
    ForBuckets(Instruction::STEP);
    ForBuckets(Instruction::GATHER);
    if (!o_.packed) return;
    for (int s = 0; s < o_.stages; ++s) Add(RankOf(s), Instruction::PREPARE, 0)->set_stage(s);
  }

  void ForBuckets(Instruction::Kind kind) {
    for (int b = 0; b < plan_.buckets_size(); ++b) {
      const proto::Bucket& bucket = plan_.buckets(b);
      const bool several_uses = o_.tied && b == 0;
      if (kind == Instruction::REDUCE && !several_uses) continue;
      if (kind == Instruction::GATHER && bucket.group_size() == 1) continue;
      for (uint32_t rank : bucket.group()) {
        if (kind == Instruction::STEP && rank != bucket.owner()) continue;
        Add(static_cast<int>(rank), kind, 0)->set_bucket(b);
      }
    }
  }

  const ToyOptions o_;
  proto::ExecutionPlan plan_;
  proto::Program* program_ = nullptr;
  std::vector<uint64_t> arena_, metrics_;
  std::map<int, uint64_t> gradients_, weights_, packed_;  // by stage
  std::vector<StageValues> values_;
  std::map<int, int> forward_, backward_;  // edge after (forward) or into (backward) a stage
  int labels_ = -1;
};

}  // namespace

proto::ExecutionPlan ToyPlan(const ToyOptions& options) { return ToyBuilder(options).Build(); }

}  // namespace millrace
