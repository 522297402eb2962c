#include "partitioner/lower/persistent.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "partitioner/lower/pools.h"

namespace millrace {
namespace {

// Hands out the bytes of one rank's arena from 0 on, region by region.
class Cursor {
 public:
  explicit Cursor(Persistent::RankMemory* memory) : memory_(memory) {}

  void Begin(proto::Life life, const std::string& name) {
    proto::Region region;
    region.set_life(life);
    region.set_name(name);
    region.set_offset(memory_->bytes);
    region_ = region;
  }
  uint64_t Take(uint64_t bytes) {
    const uint64_t at = memory_->bytes;
    memory_->bytes += RoundToAlignment(bytes);
    return at;
  }
  void End() {
    region_.set_bytes(memory_->bytes - region_.offset());
    if (region_.bytes() > 0) memory_->regions.push_back(region_);
  }

 private:
  Persistent::RankMemory* memory_;
  proto::Region region_;
};

class Planner {
 public:
  Planner(const std::vector<ProgramSource>& programs, const std::string& optimizer, const Replication& replication)
      : replication_(replication),
        programs_(programs),
        train_(programs[0].staged.graph),
        rank_of_stage_(programs[0].schedule.rank_of_stage),
        states_(optimizer == "adamw" ? 2 : 1) {
    plan_.ranks.resize(programs[0].schedule.ranks.size());
    ranks_of_.resize(train_.parameters.size());
    for (size_t rank = 0; rank < plan_.ranks.size(); ++rank) cursors_.emplace_back(&plan_.ranks[rank]);
  }

  Persistent Plan() {
    FindPlaces();
    LayOutWeights();
    LayOutGradients();
    MakeBuckets();
    DivideBuckets();
    LayOutStates();
    LayOutPacked();
    LayOutMetrics();
    LayOutStaging();
    return std::move(plan_);
  }

 private:
  int RankOfNode(const ProgramSource& program, int node) const {
    return rank_of_stage_[program.staged.stage_of_node[node]];
  }
  uint64_t WeightBytes(int p) const { return train_.parameters[p].spec.bytes(); }
  uint64_t AccumulatorBytes(int p) const { return train_.values[train_.parameters[p].accumulators[0]].spec.bytes(); }
  int RankOfUse(int accumulator) const { return RankOfNode(programs_[0], train_.values[accumulator].producer); }

  template <typename F>
  void EachRegion(proto::Life life, const std::string& name, F&& fill) {
    for (size_t rank = 0; rank < plan_.ranks.size(); ++rank) {
      cursors_[rank].Begin(life, name);
      fill(static_cast<int>(rank));
      cursors_[rank].End();
    }
  }

  void AddPlace(int parameter, int rank) {
    std::vector<int>& ranks = ranks_of_[parameter];
    if (std::find(ranks.begin(), ranks.end(), rank) == ranks.end()) ranks.push_back(rank);
  }

  void FindPlaces() {
    for (size_t p = 0; p < train_.parameters.size(); ++p) {
      for (int accumulator : train_.parameters[p].accumulators) AddPlace(static_cast<int>(p), RankOfUse(accumulator));
    }
    for (const ProgramSource& program : programs_) {
      const Graph& graph = program.staged.graph;
      for (size_t n = 0; n < graph.nodes.size(); ++n) {
        if (IsView(graph, graph.nodes[n])) continue;
        for (int v : graph.nodes[n].inputs) {
          if (v < 0) continue;
          const GraphValue& root = graph.values[graph.Root(v)];
          if (root.kind == GraphValue::Kind::kParameter) AddPlace(root.parameter, RankOfNode(program, n));
        }
      }
    }
    for (std::vector<int>& ranks : ranks_of_) {
      if (ranks.empty()) ranks.push_back(0);
    }
  }

  void LayOutWeights() {
    for (const GraphParameter& parameter : train_.parameters) {
      proto::PlannedParameter& out = plan_.parameters.emplace_back();
      out.set_name(parameter.name);
      *out.mutable_type() = parameter.spec.ToProto();
      *out.mutable_initializer() = parameter.initializer;
      out.set_trainable(!parameter.accumulators.empty());
      out.set_constant(parameter.constant);
      out.set_decay(parameter.decay);
    }
    EachRegion(proto::PARAMETER, "parameters", [&](int rank) {
      for (size_t p = 0; p < ranks_of_.size(); ++p) {
        if (std::find(ranks_of_[p].begin(), ranks_of_[p].end(), rank) == ranks_of_[p].end()) continue;
        plan_.ranks[rank].weights[static_cast<int>(p)] = cursors_[rank].Take(WeightBytes(static_cast<int>(p)));
      }
    });
    for (size_t p = 0; p < ranks_of_.size(); ++p) {
      for (int rank : ranks_of_[p]) {
        proto::ParameterPlace& place = *plan_.parameters[p].add_places();
        place.set_rank(rank);
        place.set_weight_offset(plan_.ranks[rank].weights[static_cast<int>(p)]);
      }
    }
  }

  void LayOutGradients() {
    EachRegion(proto::GRADIENT, "gradients", [&](int rank) {
      for (size_t p = 0; p < train_.parameters.size(); ++p) {
        const std::vector<int>& uses = train_.parameters[p].accumulators;
        for (size_t order = 0; order < uses.size(); ++order) {
          if (RankOfUse(uses[order]) != rank) continue;
          const uint64_t offset = cursors_[rank].Take(AccumulatorBytes(static_cast<int>(p)));
          plan_.ranks[rank].accumulators[uses[order]] = offset;
          const auto place = std::find(ranks_of_[p].begin(), ranks_of_[p].end(), rank) - ranks_of_[p].begin();
          proto::GradientPlace& out = *plan_.parameters[p].mutable_places(static_cast<int>(place))->add_gradients();
          out.set_order(static_cast<uint32_t>(order));
          out.set_offset(offset);
          const GraphNode& writer = train_.nodes[train_.values[uses[order]].producer];
          out.set_node(train_.nodes[writer.forward_node].name);
        }
      }
    });
  }

  void MakeBuckets() {
    struct Open {
      int bucket;
      uint64_t bytes;
    };
    std::map<std::vector<int>, Open> open;  // by rank, and with replicas by the stages of its uses
    for (size_t p = 0; p < train_.parameters.size(); ++p) {
      if (train_.parameters[p].accumulators.empty()) continue;
      const std::vector<int>& ranks = ranks_of_[p];
      const Open fresh = {static_cast<int>(plan_.buckets.size()), 0};
      Open* into = nullptr;
      if (ranks.size() == 1) {
        into = &open.emplace(KeyOf(static_cast<int>(p)), fresh).first->second;
        const bool full = replication_.replicas > 1 && replication_.bucket_bytes > 0 && into->bytes > 0 &&
                          into->bytes + AccumulatorBytes(static_cast<int>(p)) > replication_.bucket_bytes;
        if (full) *into = fresh;
        into->bytes += AccumulatorBytes(static_cast<int>(p));
      }
      const int bucket = into == nullptr ? fresh.bucket : into->bucket;
      if (bucket == fresh.bucket) {
        plan_.buckets.emplace_back().set_owner(ranks[0]);
        for (int rank : ranks) plan_.buckets.back().add_group(rank);
      }
      plan_.buckets[bucket].add_parameters(static_cast<uint32_t>(p));
    }
  }

  std::vector<int> KeyOf(int p) const {
    std::vector<int> key = {ranks_of_[p][0]};
    if (replication_.replicas < 2) return key;
    for (int accumulator : train_.parameters[p].accumulators) {
      key.push_back(programs_[0].staged.stage_of_node[train_.values[accumulator].producer]);
    }
    std::sort(key.begin() + 1, key.end());
    key.erase(std::unique(key.begin() + 1, key.end()), key.end());
    return key;
  }

  void DivideBuckets() {
    if (replication_.replicas < 2) return;
    for (const proto::Bucket& bucket : plan_.buckets) {
      std::vector<uint64_t> elements, bytes;
      for (uint32_t p : bucket.parameters()) {
        const TensorSpec& spec = train_.values[train_.parameters[p].accumulators[0]].spec;
        elements.push_back(static_cast<uint64_t>(spec.elements()));
        bytes.push_back(static_cast<uint64_t>(SizeOf(spec.dtype)));
      }
      plan_.shards.push_back(ShardsOf(elements, bytes, replication_.norm_block_elements, replication_.replicas));
    }
  }

  void LayOutStates() {
    EachRegion(proto::OPTIMIZER, "optimizer", [&](int rank) {
      for (size_t b = 0; b < plan_.buckets.size(); ++b) {
        proto::Bucket& bucket = plan_.buckets[b];
        if (static_cast<int>(bucket.owner()) != rank) continue;
        if (replication_.shard_optimizer > 0) {
          for (int k = 0; k < states_; ++k) {
            bucket.add_shard_state_offsets(cursors_[rank].Take(ShardStateBytes(plan_.shards[b])));
          }
          continue;
        }
        for (uint32_t p : bucket.parameters()) {
          proto::OptimizerState& state = *bucket.add_states();
          for (int k = 0; k < states_; ++k) state.add_offsets(cursors_[rank].Take(AccumulatorBytes(p)));
        }
      }
    });
  }

  void LayOutPacked() {
    EachRegion(proto::PACKED, "packed", [&](int rank) {
      std::map<std::string, uint64_t>& packed = plan_.ranks[rank].packed;
      for (const ProgramSource& program : programs_) {
        const Graph& graph = program.staged.graph;
        for (size_t n = 0; n < graph.nodes.size(); ++n) {
          const KernelNeeds& needs = program.needs[n];
          if (needs.packed_bytes == 0 || RankOfNode(program, static_cast<int>(n)) != rank) continue;
          const auto [found, is_new] = packed.emplace(PackingOf(graph, graph.nodes[n], needs), 0);
          if (is_new) found->second = cursors_[rank].Take(needs.packed_bytes);
        }
      }
    });
  }

  void LayOutMetrics() {
    EachRegion(proto::METRIC, "metrics", [&](int rank) {
      bool here = false;
      for (const ProgramSource& program : programs_) {
        for (int metric : {program.staged.loss_sum, program.staged.loss_count}) {
          if (metric < 0) continue;
          here = here || RankOfNode(program, program.staged.graph.values[metric].producer) == rank;
        }
      }
      if (!here) return;
      plan_.ranks[rank].loss_sum = cursors_[rank].Take(sizeof(double));
      plan_.ranks[rank].loss_count = cursors_[rank].Take(sizeof(double));
    });
  }

  // Buckets are reduced one after another, so that all of an owner's stage their arrivals in the same bytes: first
  // those from other ranks of the pipeline, then those of the replicas.
  void LayOutStaging() {
    EachRegion(proto::GRADIENT, "staging", [&](int rank) {
      uint64_t most = 0;
      for (size_t b = 0; b < plan_.buckets.size(); ++b) {
        proto::Bucket& bucket = plan_.buckets[b];
        if (static_cast<int>(bucket.owner()) != rank) continue;
        uint64_t bytes = 0;
        for (uint32_t p : bucket.parameters()) {
          for (int accumulator : train_.parameters[p].accumulators) {
            if (RankOfUse(accumulator) == rank) continue;
            bucket.add_staging_offsets(plan_.ranks[rank].bytes + bytes);
            bytes += RoundToAlignment(AccumulatorBytes(p));
          }
        }
        if (replication_.replicas > 1) {
          bucket.set_replica_staging_offset(plan_.ranks[rank].bytes + bytes);
          bytes += ReplicaStagingBytes(plan_.shards[b]);
        }
        most = std::max(most, bytes);
      }
      cursors_[rank].Take(most);
    });
  }

  const Replication replication_;
  const std::vector<ProgramSource>& programs_;
  const Graph& train_;
  const std::vector<int>& rank_of_stage_;
  const int states_;
  Persistent plan_;
  std::vector<Cursor> cursors_;
  std::vector<std::vector<int>> ranks_of_;  // by parameter, owner first
};

}  // namespace

std::string PackingOf(const Graph& graph, const GraphNode& node, const KernelNeeds& needs) {
  std::string packing = absl::StrCat(needs.packed_bytes, " ", needs.pack_key);
  for (int v : node.inputs) {
    if (v < 0) continue;
    const GraphValue& root = graph.values[graph.Root(v)];
    if (root.kind == GraphValue::Kind::kParameter) absl::StrAppend(&packing, " p", root.parameter);
  }
  return packing;
}

Persistent PlanPersistent(const std::vector<ProgramSource>& programs, const std::string& optimizer,
                          const Replication& replication) {
  Persistent persistent = Planner(programs, optimizer, replication).Plan();
  persistent.optimizer = optimizer;
  persistent.replication = replication;
  return persistent;
}

}  // namespace millrace
