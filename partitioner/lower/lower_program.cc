#include "partitioner/lower/lower_program.h"

#include <algorithm>
#include <utility>

#include "partitioner/lower/comm_order.h"
#include "partitioner/lower/flow.h"
#include "partitioner/lower/instructions.h"
#include "partitioner/lower/optimizer_steps.h"
#include "partitioner/lower/pools.h"
#include "partitioner/lower/scratch.h"
#include "partitioner/lower/stage_programs.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

class Lowering {
 public:
  Lowering(const ProgramSource& source, const Persistent& persistent, const CostModel& costs)
      : source_(source), persistent_(persistent), costs_(costs), flow_(FlowOf(source, costs.instruction_seconds())) {}

  absl::StatusOr<LoweredProgram> Lower() {
    const StepSeconds seconds = Seconds();
    const RunMeetings meetings = !source_.trains                          ? RunMeetings::kNone
                                 : persistent_.replication.replicas_first ? RunMeetings::kAll
                                                                          : RunMeetings::kLast;
    MR_ASSIGN_OR_RETURN(CommLists order, CommOrder(flow_, seconds.transfer, meetings));
    lists_ = std::move(order.steps);
    out_.reduces = std::move(order.reduces);
    pools_ = PlanPools(flow_, lists_);
    proto::Program& program = out_.program;
    program.set_name(source_.name);
    program.set_micro_batch_size(static_cast<uint32_t>(source_.micro_batch_size));
    program.set_micro_batches(source_.schedule.micro_batches);
    for (size_t rank = 0; rank < lists_.size(); ++rank) BeginRank(static_cast<int>(rank), program.add_ranks());
    const std::vector<int> edges = EmitStages(layout_, &program);
    for (size_t rank = 0; rank < lists_.size(); ++rank) {
      EmitInstructions(flow_, pools_, lists_[rank], edges, seconds, program.mutable_ranks(static_cast<int>(rank)));
    }
    if (source_.trains) EmitOptimizerSteps(persistent_, costs_, &program);
    for (size_t rank = 0; rank < lists_.size(); ++rank) {
      program.mutable_ranks(static_cast<int>(rank))->set_largest_live_bytes(LargestLiveBytes(static_cast<int>(rank)));
    }
    return std::move(out_);
  }

 private:
  StepSeconds Seconds() const {
    const auto transfer = [this](const Transfer& t) {
      return costs_.TransferSeconds(t.bytes, flow_.residents[t.from].rank, flow_.residents[t.to].rank);
    };
    const auto load = [this](int stage) {
      uint64_t bytes = 0;
      for (const Resident& resident : flow_.residents) {
        if (resident.life != proto::LOADED || resident.stage != stage) continue;
        bytes += source_.staged.graph.values[resident.value].spec.bytes();
      }
      return costs_.instruction_seconds() + costs_.TrafficSeconds(2 * bytes, flow_.RankOf(stage));
    };
    return {transfer, load};
  }

  // Stages, pools, scratch and metrics of a rank.
  void BeginRank(int rank, proto::RankProgram* out) {
    layout_.flow = &flow_;
    layout_.pools = &pools_;
    layout_.persistent = &persistent_;
    out->set_rank(rank);
    for (int s = 0; s < source_.schedule.stages; ++s) {
      if (flow_.RankOf(s) == rank) out->add_stages(s);
    }
    uint64_t at = persistent_.ranks[rank].bytes;
    for (int p : pools_.of_rank[rank]) {
      const PlannedPool& pool = pools_.pools[p];
      proto::Pool& planned = *out->add_pools();
      planned.set_life(pool.life);
      planned.set_name(pool.name);
      planned.set_offset(at);
      planned.set_stride(pool.stride);
      planned.set_slots(pool.slots);
      at += pool.stride * pool.slots;
    }
    uint64_t scratch = 0;
    if (layout_.scratch.empty()) {
      for (const PhaseRun& run : flow_.runs) layout_.scratch.push_back(LayOutScratch(flow_, run));
    }
    for (size_t r = 0; r < flow_.runs.size(); ++r) {
      if (flow_.RankOf(flow_.runs[r].stage) == rank) scratch = std::max(scratch, layout_.scratch[r].height);
    }
    layout_.scratch_offset.push_back(at);
    out->set_scratch_offset(at);
    out->set_scratch_bytes(scratch);
    out_.transient_bytes.push_back(at + scratch - persistent_.ranks[rank].bytes);
    AddMetrics(rank, out);
  }

  void AddMetrics(int rank, proto::RankProgram* out) {
    for (int metric : {source_.staged.loss_sum, source_.staged.loss_count}) {
      if (metric < 0) continue;
      const GraphValue& value = source_.staged.graph.values[metric];
      if (flow_.RankOf(source_.staged.stage_of_node[value.producer]) != persistent_.place_of_rank[rank]) continue;
      proto::Value& planned = *out->add_metrics();
      planned.set_name(value.name);
      *planned.mutable_type() = value.spec.ToProto();
      planned.set_life(proto::METRIC);
      planned.set_pool(-1);
      const Persistent::RankMemory& memory = persistent_.ranks[rank];
      planned.set_offset(metric == source_.staged.loss_sum ? memory.loss_sum : memory.loss_count);
      planned.set_bytes(value.spec.bytes());
    }
  }

  uint64_t LargestLiveBytes(int rank) const {
    const std::vector<Step>& list = lists_[rank];
    std::vector<uint64_t> change(list.size() + 1, 0);
    for (int p : pools_.of_rank[rank]) {
      const PlannedPool& pool = pools_.pools[p];
      for (size_t s = 0; s < pool.stays.size(); ++s) {
        const Stay& stay = pool.stays[s];
        if (stay.begin < 0) continue;
        const uint64_t bytes = pool.bytes[s / source_.schedule.micro_batches];
        change[stay.begin] += bytes;
        change[stay.end + 1] -= bytes;
      }
    }
    uint64_t alive = 0, largest = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      alive += change[i];
      const bool runs = list[i].kind == proto::Instruction::RUN;
      largest = std::max(largest, alive + (runs ? layout_.scratch[list[i].index].peak : 0));
    }
    return persistent_.ranks[rank].bytes + largest;
  }

  const ProgramSource& source_;
  const Persistent& persistent_;
  const CostModel& costs_;
  const Flow flow_;
  std::vector<std::vector<Step>> lists_;
  Pools pools_;
  Layout layout_;
  LoweredProgram out_;
};

}  // namespace

absl::StatusOr<LoweredProgram> LowerProgram(const ProgramSource& source, const Persistent& persistent,
                                            const CostModel& costs) {
  return Lowering(source, persistent, costs).Lower();
}

}  // namespace millrace
