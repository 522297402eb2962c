#include "partitioner/lower/stage_programs.h"

#include <map>
#include <set>
#include <string>
#include <tuple>

namespace millrace {
namespace {

class StageEmitter {
 public:
  StageEmitter(const Layout& layout, int stage, proto::StageProgram* out)
      : layout_(layout),
        flow_(*layout.flow),
        source_(*layout.flow->source),
        graph_(source_.staged.graph),
        memory_(layout.persistent->ranks[layout.flow->RankOf(stage)]),
        stage_(stage),
        named_(layout.flow->NamedAs(stage)),
        rank_(layout.flow->RankOf(stage)),
        out_(out) {
    out_->set_stage(stage);
    if (const int replicas = source_.schedule.ReplicasOf(stage); replicas > 1) {
      out_->set_replicas(replicas);
      out_->set_replica(source_.schedule.ReplicaOf(stage));
    }
  }

  void Emit(std::set<std::string>* prepared) {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (source_.staged.stage_of_node[n] == named_) out_->add_nodes(graph_.nodes[n].name);
    }
    // LOAD fills inputs by name, also where calls read only views of them.
    for (const Resident& resident : flow_.residents) {
      if (resident.life == proto::LOADED && resident.stage == stage_) RootValue(resident.value);
    }
    // GATHER makes weights whole by name, also where calls read only views of them.
    for (const auto& [chunk, offset] : memory_.chunk_weights) {
      if (chunk.first == named_) RootValue(graph_.parameters[chunk.second].value);
    }
    std::set<std::string> of_chunk;
    const bool divided = layout_.persistent->replication.divides_parameters();
    for (proto::Phase phase : {proto::F, proto::R, proto::B, proto::W, proto::BW}) {
      const int run = flow_.run_of[stage_][phase];
      if (run >= 0) EmitPhase(run, divided ? &of_chunk : prepared);
    }
  }

  // Index of the value that is the root itself, made where no call of the stage names it.
  int RootValue(int root) { return ValueOf(root, -1); }
  int OutputValue() { return ValueOf(graph_.logits, -1); }

 private:
  void EmitPhase(int run_index, std::set<std::string>* prepared) {
    const PhaseRun& run = flow_.runs[run_index];
    proto::PhaseProgram& phase = *out_->add_phases();
    phase.set_phase(run.phase);
    phase.set_seconds(run.seconds);
    if (run.seconds_shared != run.seconds) phase.set_seconds_shared(run.seconds_shared);
    for (int p : layout_.pools->of_run[run_index]) phase.add_pools(layout_.pools->pools[p].index);
    if (source_.trains) phase.set_staging_offset(memory_.run_staging);
    for (size_t c = 0; c < run.nodes.size(); ++c) {
      const int n = run.nodes[c];
      const GraphNode& node = graph_.nodes[n];
      proto::KernelCall& call = *phase.add_calls();
      call.set_node(node.name);
      call.set_op(node.op);
      for (int v : node.inputs) call.add_inputs(ValueOf(v, run_index));
      for (int v : node.outputs) call.add_outputs(ValueOf(v, run_index));
      node.attributes.CopyTo(call.mutable_attributes());
      const NodeCost& cost = source_.costs[n];
      call.set_seconds(cost.seconds[rank_]);
      if (cost.seconds_shared[rank_] != cost.seconds[rank_]) call.set_seconds_shared(cost.seconds_shared[rank_]);
      call.set_flops(source_.costs[n].flops);
      const KernelNeeds& needs = source_.needs[n];
      if (needs.scratch_bytes > 0) {
        call.set_scratch_offset(layout_.scratch_offset[rank_] + layout_.scratch[run_index].call_offset[c]);
        call.set_scratch_bytes(needs.scratch_bytes);
      }
      call.set_packed_offset(-1);
      if (needs.packed_bytes == 0) continue;
      const std::string packing = PackingOf(graph_, node, needs);
      call.set_packed_offset(static_cast<int64_t>(memory_.PackedFor(named_, packing)));
      call.set_packed_bytes(needs.packed_bytes);
      if (!prepared->insert(packing).second) continue;
      proto::CallRef& ref = *out_->add_prepare();
      ref.set_phase(run.phase);
      ref.set_call(static_cast<uint32_t>(c));
    }
  }

  // The stage's value for a value of the graph, -1 for an absent one. `run` places scratch, which has an address per
  // phase.
  int ValueOf(int v, int run) {
    if (v < 0) return -1;
    const int root = graph_.Root(v);
    const int resident = flow_.ResidentAt(stage_, root);
    const GraphValue& value = graph_.values[v];
    const GraphValue& bytes = graph_.values[root];
    const bool metric = root == source_.staged.loss_sum || root == source_.staged.loss_count;
    const bool scratch = bytes.kind == GraphValue::Kind::kActivation && resident < 0 && !metric;
    const bool view = value.spec != bytes.spec;
    const auto [found, is_new] = known_.emplace(
        std::tuple(root, view ? value.spec.dims : bytes.spec.dims, scratch ? run : -1), out_->values_size());
    if (!is_new) return found->second;
    proto::Value& out = *out_->add_values();
    out.set_name(view ? value.name : bytes.name);
    *out.mutable_type() = value.spec.ToProto();
    out.set_bytes(value.spec.bytes());
    out.set_pool(-1);
    if (metric) {
      out.set_life(proto::METRIC);
      out.set_offset(root == source_.staged.loss_sum ? memory_.loss_sum : memory_.loss_count);
    } else if (bytes.kind == GraphValue::Kind::kParameter) {
      out.set_life(proto::PARAMETER);
      out.set_offset(memory_.WeightFor(named_, bytes.parameter));
    } else if (bytes.kind == GraphValue::Kind::kAccumulator) {
      out.set_life(proto::GRADIENT);
      out.set_offset(memory_.accumulators.at(root));
    } else if (scratch) {
      out.set_life(proto::SCRATCH);
      out.set_offset(layout_.scratch_offset[rank_] + layout_.scratch[run].value_offset.at(root));
    } else {
      const proto::Life life = flow_.residents[resident].life;
      // LOAD fills every LOADED value by its name; a view of one is filled with it.
      out.set_life(life == proto::LOADED && view ? proto::STASH_FB : life);
      out.set_pool(layout_.pools->pools[layout_.pools->pool_of[resident]].index);
      out.set_offset(layout_.pools->offset_in_slot[resident]);
    }
    return found->second;
  }

  const Layout& layout_;
  const Flow& flow_;
  const ProgramSource& source_;
  const Graph& graph_;
  const Persistent::RankMemory& memory_;
  const int stage_, named_, rank_;
  proto::StageProgram* const out_;
  std::map<std::tuple<int, std::vector<int64_t>, int>, int> known_;  // (root, dims, run of scratch) -> value
};

}  // namespace

std::vector<int> EmitStages(const Layout& layout, proto::Program* program) {
  const Flow& flow = *layout.flow;
  const Graph& graph = flow.source->staged.graph;
  const int stages = flow.source->schedule.stages;
  for (int s = 0; s < stages; ++s) program->add_stages();
  std::vector<StageEmitter> emitters;
  std::vector<std::set<std::string>> prepared(layout.persistent->ranks.size());
  for (int s = 0; s < stages; ++s) {
    emitters.emplace_back(layout, s, program->mutable_stages(s));
    emitters.back().Emit(&prepared[flow.RankOf(s)]);
  }
  const auto add_edge = [&](int root, int from, int to, bool backward) {
    proto::Edge& edge = *program->add_edges();
    edge.set_name(graph.values[root].name);
    edge.set_from_stage(from);
    edge.set_to_stage(to);
    edge.set_backward(backward);
    edge.set_from_value(emitters[from].RootValue(root));
    edge.set_to_value(emitters[to].RootValue(root));
    edge.set_bytes(graph.values[root].spec.bytes());
    return program->edges_size() - 1;
  };
  std::vector<int> edges;
  for (const Transfer& t : flow.transfers) {
    edges.push_back(add_edge(flow.residents[t.from].value, t.from_stage, t.to_stage, t.backward));
  }
  for (const StageAlias& alias : flow.aliases) {
    add_edge(flow.residents[alias.resident].value, alias.from_stage, alias.to_stage, alias.backward);
  }
  if (graph.logits >= 0) {
    const int stage = flow.source->staged.stage_of_node[graph.values[graph.Root(graph.logits)].producer];
    proto::ProgramOutput& output = *program->add_outputs();
    output.set_name("logits");
    output.set_rank(flow.RankOf(stage));
    output.set_stage(stage);
    output.set_value(emitters[stage].OutputValue());
  }
  return edges;
}

}  // namespace millrace
