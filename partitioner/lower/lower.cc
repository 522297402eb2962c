#include "partitioner/lower/lower.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "partitioner/lower/lower_program.h"
#include "partitioner/lower/replica_steps.h"
#include "partitioner/lower/transfer_groups.h"
#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"

namespace millrace {
namespace {

// Tells the rank that lacks most.
absl::Status CheckMemory(const proto::ExecutionPlan& plan) {
  const proto::Rank* worst = nullptr;
  int lacking = 0;
  for (const proto::Rank& rank : plan.ranks()) {
    if (MissingBytes(rank) == 0) continue;
    ++lacking;
    if (worst == nullptr || MissingBytes(rank) > MissingBytes(*worst)) worst = &rank;
  }
  if (worst == nullptr) return absl::OkStatus();
  const uint64_t transient = worst->regions(worst->regions_size() - 1).bytes();
  absl::Status status = absl::ResourceExhaustedError(absl::StrCat(
      "rank ", worst->rank(), " needs ", worst->arena_bytes(), " bytes on device '", worst->device(), "', ",
      MissingBytes(*worst), " more than its ", worst->memory_limit(), ": ", worst->arena_bytes() - transient,
      " for parameters, gradients and optimizer state, ", transient, " for activations in flight and scratch",
      worst->outside_bytes() > 0 ? absl::StrCat(", and libraries take ", worst->outside_bytes()) : "",
      lacking > 1 ? absl::StrCat("; of ", plan.ranks_size(), " ranks ", lacking, " have too little, this one least")
                  : ""));
  status.SetPayload(kMissingBytesPayload, absl::Cord(absl::StrCat(MissingBytes(*worst))));
  return status;
}

// One for each pair of ranks between which any program sends.
void AddLinks(const CostModel& costs, proto::ExecutionPlan* plan) {
  std::set<std::pair<int, int>> pairs;
  for (const proto::Program& program : plan->programs()) {
    const std::vector<int> rank_of_stage = RankOfStages(program);
    for (const proto::Edge& edge : program.edges()) {
      const int from = rank_of_stage[edge.from_stage()], to = rank_of_stage[edge.to_stage()];
      if (from != to) pairs.emplace(from, to);
    }
  }
  for (const auto& [from, to] : pairs) {
    const LinkRate rate = costs.LinkBetween(from, to);
    proto::PlannedLink& link = *plan->add_links();
    link.set_from_rank(static_cast<uint32_t>(from));
    link.set_to_rank(static_cast<uint32_t>(to));
    link.set_latency_seconds(rate.latency);
    link.set_bytes_per_second(rate.bytes);
    link.set_wire(rate.wire);
  }
}

// How many distinct calls of the programs were measured; the rest of plan.costs is the caller's.
void AddCostSource(const std::vector<ProgramSource>& programs, const CostModel& costs, proto::ExecutionPlan* plan) {
  std::map<std::string, bool> calls;
  for (const ProgramSource& source : programs) {
    for (const NodeCost& cost : source.costs) {
      if (!cost.key.empty()) calls.emplace(cost.key, cost.measured);
    }
  }
  uint32_t measured = 0;
  for (const auto& [key, is_measured] : calls) measured += is_measured ? 1 : 0;
  proto::CostSource& source = *plan->mutable_costs();
  source.set_calls_measured(measured);
  source.set_calls_modelled(static_cast<uint32_t>(calls.size()) - measured);
  source.set_instruction_seconds(costs.instruction_seconds());
}

}  // namespace

uint64_t MissingBytes(const proto::Rank& rank) {
  const uint64_t needed = rank.arena_bytes() + rank.outside_bytes();
  return rank.memory_limit() == 0 || needed <= rank.memory_limit() ? 0 : needed - rank.memory_limit();
}

absl::Status Lower(const std::vector<ProgramSource>& programs, const proto::Cluster& cluster, const CostModel& costs,
                   const std::string& optimizer, const Replication& replication, proto::ExecutionPlan* plan) {
  const Persistent persistent = PlanPersistent(programs, optimizer, replication);
  const size_t ranks = persistent.ranks.size();
  for (const proto::PlannedParameter& parameter : persistent.parameters) *plan->add_parameters() = parameter;
  for (const proto::Bucket& bucket : persistent.buckets) *plan->add_buckets() = bucket;
  std::vector<uint64_t> transient(ranks, 0);
  std::vector<std::vector<std::vector<RunReduce>>> reduces;  // by program and rank
  for (const ProgramSource& source : programs) {
    MR_ASSIGN_OR_RETURN(LoweredProgram lowered, LowerProgram(source, persistent, costs));
    for (size_t r = 0; r < ranks; ++r) transient[r] = std::max(transient[r], lowered.transient_bytes[r]);
    *plan->add_programs() = std::move(lowered.program);
    reduces.push_back(std::move(lowered.reduces));
  }
  // Replicas of a stage are laid out alike.
  std::vector<uint64_t> most(ranks, 0);
  for (size_t r = 0; r < ranks; ++r) {
    uint64_t& at_place = most[persistent.place_of_rank[r]];
    at_place = std::max(at_place, transient[r]);
  }
  for (size_t r = 0; r < ranks; ++r) transient[r] = most[persistent.place_of_rank[r]];
  for (size_t global = 0; global < ranks * replication.replicas; ++global) {
    const proto::ClusterDevice& device = cluster.devices(static_cast<int>(global));
    const size_t r = global % ranks;
    proto::Rank& rank = *plan->add_ranks();
    rank.set_rank(static_cast<uint32_t>(global));
    const int place = persistent.place_of_rank[r];
    rank.set_pipeline(static_cast<uint32_t>(place));
    rank.set_replica(static_cast<uint32_t>(global / ranks + (r - place)));
    rank.set_device(device.name());
    rank.set_memory_limit(device.memory_bytes());
    rank.set_threads(std::max<uint32_t>(1, device.threads()));
    if (costs.Shares(static_cast<int>(global))) {
      rank.set_shares(device.shares());
      rank.set_shared_cores(device.shared_cores());
    }
    rank.set_arena_bytes(persistent.ranks[r].bytes + transient[r]);
    for (const proto::Region& region : persistent.ranks[r].regions) *rank.add_regions() = region;
    proto::Region& region = *rank.add_regions();
    region.set_name("transient");
    region.set_life(proto::SCRATCH);
    region.set_offset(persistent.ranks[r].bytes);
    region.set_bytes(transient[r]);
  }
  for (int p = 0; p < plan->programs_size(); ++p) {
    proto::Program* const program = plan->mutable_programs(p);
    if (HasReplicas(*plan) && programs[p].trains) {
      replication.replicas_first ? ReduceRuns(*plan, costs, reduces[p], program)
                                 : ReduceEarly(*plan, reduces[p], program);
    }
    if (replication.divides_parameters()) GatherChunks(*plan, costs, program);
  }
  AddLinks(costs, plan);
  if (cluster.devices(0).kind() == "cuda") AddTransferGroups(plan);
  AddCostSource(programs, costs, plan);
  MR_RETURN_IF_ERROR(CheckMemory(*plan));
  for (proto::Program& program : *plan->mutable_programs()) {
    MR_ASSIGN_OR_RETURN(const Simulation simulation, Simulate(*plan, program.name()));
    program.set_predicted_seconds(simulation.seconds);
    program.set_predicted_bubble(simulation.bubble_rate);
  }
  return absl::OkStatus();
}

std::string LowerText(const proto::ExecutionPlan& plan) {
  std::string text;
  for (const proto::Rank& rank : plan.ranks()) {
    absl::StrAppendFormat(&text, "rank %d on %s: arena %d bytes\n", rank.rank(), rank.device(), rank.arena_bytes());
    for (const proto::Region& region : rank.regions()) {
      absl::StrAppendFormat(&text, "  %-12s %14d at %d\n", region.name(), region.bytes(), region.offset());
    }
  }
  for (const proto::Program& program : plan.programs()) {
    absl::StrAppendFormat(&text, "program %s: %d x %d samples, predicted %.6f s, bubble %.3f\n", program.name(),
                          program.micro_batches(), program.micro_batch_size(), program.predicted_seconds(),
                          program.predicted_bubble());
    for (const proto::Edge& edge : program.edges()) {
      absl::StrAppendFormat(&text, "  edge %s: stage %d to %d, %d bytes\n", edge.name(), edge.from_stage(),
                            edge.to_stage(), edge.bytes());
    }
    for (const proto::RankProgram& rank : program.ranks()) {
      absl::StrAppendFormat(&text, "  rank %d: at most %d bytes alive\n", rank.rank(), rank.largest_live_bytes());
      for (const proto::Pool& pool : rank.pools()) {
        absl::StrAppendFormat(&text, "    pool %s: %d slots of %d bytes\n", pool.name(), pool.slots(), pool.stride());
      }
      for (int i = 0; i < rank.instructions_size(); ++i) {
        absl::StrAppendFormat(&text, "    %4d  %s\n", i, Describe(program, rank.instructions(i)));
      }
    }
  }
  return text;
}

}  // namespace millrace
