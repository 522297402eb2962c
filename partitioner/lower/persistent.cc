#include "partitioner/lower/persistent.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"
#include "partitioner/lower/arena_cursor.h"
#include "partitioner/lower/buckets.h"
#include "partitioner/lower/pools.h"
#include "runtime/plan/ties.h"

namespace millrace {
namespace {

constexpr int kChunkBuffers = 2;

class Planner {
 public:
  Planner(const std::vector<ProgramSource>& programs, const std::string& optimizer, const Replication& replication)
      : replication_(replication),
        programs_(programs),
        train_(programs[0].staged.graph),
        rank_of_stage_(programs[0].schedule.rank_of_stage),
        moments_(optimizer == "adamw" ? 2 : 1) {
    plan_.optimizer = optimizer;
    plan_.replication = replication;
    plan_.ranks.resize(programs[0].schedule.ranks.size());
    ranks_of_.resize(train_.parameters.size());
    stages_of_rank_.resize(plan_.ranks.size());
    const Schedule& schedule = programs[0].schedule;
    for (int s = 0; s < schedule.stages; ++s) {
      plan_.place_of_rank.resize(plan_.ranks.size(), 0);
      plan_.place_of_rank[rank_of_stage_[s]] = rank_of_stage_[s - schedule.ReplicaOf(s)];
      if (schedule.ReplicaOf(s) == 0) stages_of_rank_[rank_of_stage_[s]].push_back(s);
    }
    for (size_t rank = 0; rank < plan_.ranks.size(); ++rank) cursors_.emplace_back(&plan_.ranks[rank]);
  }

  Persistent Plan() {
    FindPlaces();
    MakeBuckets(programs_[0], ranks_of_, &plan_);
    LayOutWeights();
    LayOutGradients();
    LayOutGradientShards();
    LayOutStates();
    replication_.divides_parameters() ? LayOutChunks() : LayOutPacked();
    LayOutMetrics();
    LayOutStaging();
    // The other replicas of a stage are laid out as its first.
    for (size_t rank = 0; rank < plan_.ranks.size(); ++rank) plan_.ranks[rank] = plan_.ranks[plan_.place_of_rank[rank]];
    return std::move(plan_);
  }

 private:
  int RankOfNode(const ProgramSource& program, int node) const {
    return rank_of_stage_[program.staged.stage_of_node[node]];
  }
  int StageOfUse(int accumulator) const {
    return programs_[0].staged.stage_of_node[train_.values[accumulator].producer];
  }
  int RankOfUse(int accumulator) const { return rank_of_stage_[StageOfUse(accumulator)]; }
  uint64_t WeightBytes(int p) const { return train_.parameters[p].spec.bytes(); }
  uint64_t AccumulatorBytes(int p) const { return train_.values[train_.parameters[p].accumulators[0]].spec.bytes(); }
  // What the optimizer keeps, the master of a parameter in 16 bits included (runtime/plan/op_descs.h).
  int StatesOf(int p) const { return moments_ + (IsHalf(train_.parameters[p].spec.dtype) ? 1 : 0); }
  bool IsDivided(int p) const { return replication_.divides_parameters() && plan_.bucket_of[p] >= 0; }
  bool StandsOn(int p, int rank) const {
    return std::find(ranks_of_[p].begin(), ranks_of_[p].end(), rank) != ranks_of_[p].end();
  }

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

  template <typename F>
  void EachRead(const ProgramSource& program, F&& read) const {  // read(node, parameter)
    const Graph& graph = program.staged.graph;
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      if (IsView(graph, graph.nodes[n])) continue;
      for (int v : graph.nodes[n].inputs) {
        if (v < 0) continue;
        const GraphValue& root = graph.values[graph.Root(v)];
        if (root.kind == GraphValue::Kind::kParameter) read(static_cast<int>(n), root.parameter);
      }
    }
  }

  void FindPlaces() {
    for (size_t p = 0; p < train_.parameters.size(); ++p) {
      for (int accumulator : train_.parameters[p].accumulators) AddPlace(static_cast<int>(p), RankOfUse(accumulator));
    }
    for (const ProgramSource& program : programs_) {
      EachRead(program, [&](int node, int parameter) { AddPlace(parameter, RankOfNode(program, node)); });
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
      std::map<int, uint64_t> shards;  // by bucket
      for (int p = 0; p < static_cast<int>(ranks_of_.size()); ++p) {
        if (!StandsOn(p, rank)) continue;
        uint64_t& offset = plan_.ranks[rank].weights[p];
        if (!IsDivided(p)) {
          offset = cursors_[rank].Take(WeightBytes(p));
          continue;
        }
        const auto [shard, is_new] = shards.emplace(plan_.bucket_of[p], 0);
        if (is_new) shard->second = cursors_[rank].Take(ShardWeightBytes(plan_.shards[plan_.bucket_of[p]].at(rank)));
        offset = shard->second;
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

  // One accumulator per use. Those of a chunk share its buffer where gradients are divided.
  void LayOutGradients() {
    EachRegion(proto::GRADIENT, "gradients", [&](int rank) {
      std::vector<uint64_t> at = BeginChunks(rank, replication_.divides_gradients(), [this](int stage) {
        uint64_t bytes = 0;
        EachUse([&](int p, int, int accumulator) {
          if (StageOfUse(accumulator) == stage) bytes += RoundUp(AccumulatorBytes(p));
        });
        return bytes;
      });
      EachUse([&](int p, int order, int accumulator) {
        if (RankOfUse(accumulator) != rank) return;
        uint64_t offset = 0;
        if (replication_.divides_gradients()) {
          uint64_t& next = at[PositionOf(StageOfUse(accumulator))];
          offset = next;
          next += RoundUp(AccumulatorBytes(p));
        } else {
          offset = cursors_[rank].Take(AccumulatorBytes(p));
        }
        plan_.ranks[rank].accumulators[accumulator] = offset;
        proto::GradientPlace& out = *PlaceOn(p, rank).add_gradients();
        out.set_order(static_cast<uint32_t>(order));
        out.set_offset(offset);
        const GraphNode& writer = train_.nodes[train_.values[accumulator].producer];
        out.set_node(train_.nodes[writer.forward_node].name);
      });
    });
  }

  template <typename F>
  void EachUse(F&& use) const {  // use(parameter, order, accumulator)
    for (int p = 0; p < static_cast<int>(train_.parameters.size()); ++p) {
      const std::vector<int>& uses = train_.parameters[p].accumulators;
      for (size_t order = 0; order < uses.size(); ++order) use(p, static_cast<int>(order), uses[order]);
    }
  }

  proto::ParameterPlace& PlaceOn(int p, int rank) {
    const auto place = std::find(ranks_of_[p].begin(), ranks_of_[p].end(), rank) - ranks_of_[p].begin();
    return *plan_.parameters[p].mutable_places(static_cast<int>(place));
  }

  // Where each stage of the rank begins in the buffers, which are as large as their largest chunk.
  template <typename BytesFn>
  std::vector<uint64_t> BeginChunks(int rank, bool wanted, BytesFn bytes_of) {
    std::vector<uint64_t> begins;
    if (!wanted) return begins;
    const std::vector<int>& stages = stages_of_rank_[rank];
    std::vector<uint64_t> most(kChunkBuffers, 0), at;
    for (size_t i = 0; i < stages.size(); ++i) {
      most[i % kChunkBuffers] = std::max(most[i % kChunkBuffers], bytes_of(stages[i]));
    }
    for (uint64_t bytes : most) at.push_back(cursors_[rank].Take(bytes));
    for (size_t i = 0; i < stages.size(); ++i) begins.push_back(at[i % kChunkBuffers]);
    return begins;
  }
  size_t PositionOf(int stage) const {
    const std::vector<int>& stages = stages_of_rank_[rank_of_stage_[stage]];
    return std::find(stages.begin(), stages.end(), stage) - stages.begin();
  }

  // With replicas first, what this replica sums up over the step: one shard of each bucket, or of each place of a
  // parameter that is used several times.
  void LayOutGradientShards() {
    if (!replication_.replicas_first) return;
    EachRegion(proto::GRADIENT, "gradient shards", [&](int rank) {
      std::map<int, uint64_t> shards;  // by bucket
      EachUse([&](int p, int order, int accumulator) {
        if (RankOfUse(accumulator) != rank) return;
        const int bucket = plan_.bucket_of[p];
        const uint64_t bytes = ShardBytes(plan_.shards[bucket].at(rank));
        const bool several_uses = train_.parameters[p].accumulators.size() > 1;
        const auto [shard, is_new] = shards.emplace(bucket, 0);
        if (is_new || several_uses) shard->second = cursors_[rank].Take(bytes);
        for (proto::GradientPlace& place : *PlaceOn(p, rank).mutable_gradients()) {
          if (static_cast<int>(place.order()) == order) place.set_shard_offset(shard->second);
        }
      });
    });
  }

  void LayOutStates() {
    EachRegion(proto::OPTIMIZER, "optimizer", [&](int rank) {
      for (size_t b = 0; b < plan_.buckets.size(); ++b) {
        proto::Bucket& bucket = plan_.buckets[b];
        if (static_cast<int>(bucket.owner()) != rank) continue;
        if (replication_.shard_optimizer > 0) {
          int states = 0;  // of the parameter that has most
          for (uint32_t p : bucket.parameters()) states = std::max(states, StatesOf(static_cast<int>(p)));
          for (int k = 0; k < states; ++k) {
            bucket.add_shard_state_offsets(cursors_[rank].Take(ShardBytes(plan_.OwnersShards(b))));
          }
          continue;
        }
        for (uint32_t p : bucket.parameters()) {
          proto::OptimizerState& state = *bucket.add_states();
          const int states = StatesOf(static_cast<int>(p));
          for (int k = 0; k < states; ++k) state.add_offsets(cursors_[rank].Take(AccumulatorBytes(p)));
        }
      }
    });
  }

  template <typename F>
  void EachPacking(F&& packing) const {  // packing(stage, PackingOf, bytes)
    for (const ProgramSource& program : programs_) {
      const Graph& graph = program.staged.graph;
      for (size_t n = 0; n < graph.nodes.size(); ++n) {
        const KernelNeeds& needs = program.needs[n];
        if (needs.packed_bytes == 0) continue;
        packing(program.staged.stage_of_node[n], PackingOf(graph, graph.nodes[n], needs), needs.packed_bytes);
      }
    }
  }

  void LayOutPacked() {
    EachRegion(proto::PACKED, "packed", [&](int rank) {
      EachPacking([&](int stage, const std::string& name, uint64_t bytes) {
        if (rank_of_stage_[stage] != rank) return;
        const auto [found, is_new] = plan_.ranks[rank].packed.emplace(name, 0);
        if (is_new) found->second = cursors_[rank].Take(bytes);
      });
    });
  }

  // The whole weights of a chunk and their packed forms, from a GATHER to its RELEASE.
  void LayOutChunks() {
    std::vector<std::set<int>> weights(rank_of_stage_.size());
    std::vector<std::map<std::string, uint64_t>> packed(rank_of_stage_.size());
    for (const ProgramSource& program : programs_) {
      EachRead(program, [&](int node, int parameter) {
        if (IsDivided(parameter)) weights[program.staged.stage_of_node[node]].insert(parameter);
      });
    }
    EachPacking([&](int stage, const std::string& name, uint64_t bytes) { packed[stage].emplace(name, bytes); });
    EachRegion(proto::PARAMETER, "chunks", [&](int rank) {
      const std::vector<uint64_t> begins = BeginChunks(rank, true, [&](int stage) {
        uint64_t bytes = 0;
        for (int p : weights[stage]) bytes += RoundUp(WeightBytes(p));
        for (const auto& [name, packed_bytes] : packed[stage]) bytes += RoundUp(packed_bytes);
        return bytes;
      });
      for (int stage : stages_of_rank_[rank]) {
        uint64_t at = begins[PositionOf(stage)];
        for (int p : weights[stage]) {
          plan_.ranks[rank].chunk_weights[{stage, p}] = at;
          at += RoundUp(WeightBytes(p));
        }
        for (const auto& [name, packed_bytes] : packed[stage]) {
          plan_.ranks[rank].chunk_packed[{stage, name}] = at;
          at += RoundUp(packed_bytes);
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

  // Gradients are reduced one bucket, or one RUN's, after another, so that all of a rank's stage their arrivals in the
  // same bytes: first those from other ranks of the pipeline, then those of the replicas.
  void LayOutStaging() {
    EachRegion(proto::GRADIENT, "staging", [&](int rank) {
      uint64_t most = 0;
      for (size_t b = 0; b < plan_.buckets.size(); ++b) {
        proto::Bucket& bucket = plan_.buckets[b];
        if (static_cast<int>(bucket.owner()) != rank) continue;
        uint64_t bytes = 0;
        for (uint32_t p : bucket.parameters()) {
          for (int accumulator : train_.parameters[p].accumulators) {
            const int there = RankOfUse(accumulator);
            if (there == rank) continue;
            bucket.add_staging_offsets(plan_.ranks[rank].bytes + bytes);
            const int arrivals = ArrivalsOfUse(replication_.ReplicasAt(rank), replication_.ReplicasAt(there));
            bytes += replication_.replicas_first ? ShardBytes(plan_.OwnersShards(b))
                                                 : arrivals * RoundUp(AccumulatorBytes(p));
          }
        }
        if (replication_.has_replicas() && !replication_.replicas_first) {
          bucket.set_replica_staging_offset(plan_.ranks[rank].bytes + bytes);
          bytes += ReplicaStagingBytes(plan_.OwnersShards(b));
        }
        most = std::max(most, bytes);
      }
      if (replication_.replicas_first) {
        plan_.ranks[rank].run_staging = plan_.ranks[rank].bytes;
        for (int stage : stages_of_rank_[rank]) most = std::max(most, RunStagingBytes(stage));
      }
      cursors_[rank].Take(most);
    });
  }

  // Of the RUN of a stage that writes most: its forward phase, or its backward phases as one.
  uint64_t RunStagingBytes(int stage) const {
    uint64_t most = 0;
    for (const bool forward : {true, false}) {
      const int replicas = replication_.ReplicasAt(rank_of_stage_[stage]);
      std::vector<uint64_t> bytes(replicas, 0);
      EachUse([&](int p, int, int accumulator) {
        if (StageOfUse(accumulator) != stage) return;
        if ((train_.nodes[train_.values[accumulator].producer].phase == proto::F) != forward) return;
        AddPieces(p, rank_of_stage_[stage], &bytes);
      });
      most = std::max(most, *std::max_element(bytes.begin(), bytes.end()) * (replicas - 1));
    }
    return most;
  }

  void AddPieces(int p, int place, std::vector<uint64_t>* bytes) const {
    const int bucket = plan_.bucket_of[p];
    const std::vector<Shard>& shards = plan_.shards[bucket].at(place);
    const uint64_t element = AccumulatorBytes(p) / std::max<uint64_t>(1, train_.parameters[p].spec.elements());
    for (size_t r = 0; r < bytes->size(); ++r) {
      for (const ShardPiece& piece : shards[r].pieces) {
        if (static_cast<int>(plan_.buckets[bucket].parameters(piece.member)) != p) continue;
        (*bytes)[r] += RoundUp(piece.elements * element);
      }
    }
  }

  const Replication replication_;
  const std::vector<ProgramSource>& programs_;
  const Graph& train_;
  const std::vector<int>& rank_of_stage_;
  const int moments_;
  Persistent plan_;
  std::vector<ArenaCursor> cursors_;
  std::vector<std::vector<int>> ranks_of_;  // by parameter, owner first
  std::vector<std::vector<int>> stages_of_rank_;
};

}  // namespace

Persistent PlanPersistent(const std::vector<ProgramSource>& programs, const std::string& optimizer,
                          const Replication& replication) {
  return Planner(programs, optimizer, replication).Plan();
}

}  // namespace millrace
