#include "tests/runtime/plan/tiny_plan.h"

#include <string>
#include <vector>

#include "runtime/plan/plan.h"
#include "tests/runtime/plan/tiny_lists.h"

namespace millrace {
namespace {

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

// The stage's values by number, in the order in which they are added.
struct Values {
  int x, w, y, dy, dx, gw, tied, gtied, z, r, c, t, loss, count;
};

Values AddValues(proto::StageProgram* stage, int s, int p, bool split) {
  const TinyPools pools(s, p);
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
  v.gw = AddValue(stage, "grad/w" + n + "@ReduceSumTo", vector, proto::GRADIENT, -1, tiny::kGradient, 16);
  v.tied = v.gtied = v.z = v.r = v.c = v.loss = v.count = -1;
  if (s == 0 || last) {
    v.tied = AddValue(stage, "tied", vector, proto::PARAMETER, -1, tiny::kTied, 16);
    v.gtied = AddValue(stage, "grad/tied@ReduceSumTo", vector, proto::GRADIENT, -1, tiny::kTiedGradient, 16);
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

void AddForward(proto::StageProgram* stage, const Values& v, const TinyPools& pools, bool last) {
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

void AddBackward(proto::StageProgram* stage, const Values& v, const TinyPools& pools, bool last, bool split) {
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
    AddForward(stage, values[s], TinyPools(s, p), s == p - 1);
    AddBackward(stage, values[s], TinyPools(s, p), s == p - 1, options.split);
    AddParameter(&plan, "w" + std::to_string(s), {s}, tiny::kWeight, tiny::kGradient, tiny::kStates);
    proto::RankProgram* list = program->add_ranks();
    list->set_rank(s);
    list->add_stages(s);
  }
  plan.set_norm_block_elements(65536);
  AddParameter(&plan, "tied", {0, p - 1}, tiny::kTied, tiny::kTiedGradient, tiny::kTiedStates);
  const proto::StageProgram& last = program->stages(p - 1);
  *program->mutable_ranks(p - 1)->add_metrics() = last.values(values[p - 1].loss);
  *program->mutable_ranks(p - 1)->add_metrics() = last.values(values[p - 1].count);
  for (int s = 0; s + 1 < p; ++s) AddEdge(program, "h" + std::to_string(s), s, s + 1, values[s].y, values[s + 1].x);
  for (int s = 1; s < p; ++s) AddEdge(program, "d/h" + std::to_string(s - 1), s, s - 1, values[s].dx, values[s - 1].dy);
  ListTinyInstructions(options, program);
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
