#include "runtime/plan/verify/dataflow.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/chunks.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/verify/ordering.h"
#include "runtime/plan/verify/slots.h"

namespace millrace {
namespace {

using proto::Instruction;

// Whose values an instruction reads or writes.
struct Tenant {
  uint32_t micro_batch = 0;
  uint32_t stage = 0;
};

class RankFlow {
 public:
  RankFlow(const proto::Program& program, const Wiring& wiring, const ProgramLayout& layout,
           const Footprints& footprints, int rank, bool replicas_first, Ordering order, Slots slots,
           WorkBudget* budget)
      : program_(program),
        list_(program.ranks(rank)),
        wiring_(wiring),
        layout_(layout),
        footprints_(footprints),
        rank_(rank),
        replicas_first_(replicas_first),
        order_(std::move(order)),
        slots_(std::move(slots)),
        budget_(budget) {}

  absl::Status Follow() {
    for (i_ = 0; i_ < list_.instructions_size(); ++i_) {
      MR_RETURN_IF_ERROR(Step(list_.instructions(i_)));
    }
    MR_RETURN_IF_ERROR(ReadOutputs());
    return absl::OkStatus();
  }

  absl::Status CheckLiveBytes(uint64_t persistent_bytes) {
    const int n = list_.instructions_size();
    const std::vector<uint64_t> alive = slots_.AliveBytes(layout_.ranks[rank_], n);
    uint64_t largest = 0;
    int at = -1;
    for (int i = 0; i < n; ++i) {
      uint64_t bytes = alive[i];
      if (list_.instructions(i).kind() == Instruction::RUN)
        bytes += FootprintOfRun(list_.instructions(i)).scratch_bytes;
      if (bytes > largest || at < 0) largest = bytes, at = i;
    }
    const uint64_t total = persistent_bytes + largest;
    if (total == list_.largest_live_bytes()) return absl::OkStatus();
    return Broken(
        "live-bytes", {&program_, rank_, at},
        absl::StrCat("the plan claims ", list_.largest_live_bytes(), " bytes at most; by its list they are ", total,
                     ": ", persistent_bytes, " persistent and ", largest, " here, where most are alive"));
  }

 private:
  const Footprint& FootprintOfRun(const Instruction& run) const {
    return footprints_[run.stage()][wiring_.phases[run.stage()][run.phase()]];
  }

  absl::Status Step(const Instruction& instruction) {
    switch (instruction.kind()) {
      case Instruction::RUN:
        return Run(instruction);
      case Instruction::LOAD:
        return Load(instruction);
      case Instruction::SEND:
        return Send(instruction);
      case Instruction::RECV:
        return Receive(instruction);
      case Instruction::GROUP:
        // Posted together: reads first here, so that a write over them in the same group is seen.
        for (const Instruction& member : instruction.group()) {
          if (member.kind() == Instruction::SEND) MR_RETURN_IF_ERROR(Send(member));
        }
        for (const Instruction& member : instruction.group()) {
          if (member.kind() == Instruction::RECV) MR_RETURN_IF_ERROR(Receive(member));
        }
        return absl::OkStatus();
      case Instruction::STEP:
        return ChangeWeights();
      case Instruction::GATHER:
        return instruction.chunk() ? absl::OkStatus() : ChangeWeights();
      default:
        return absl::OkStatus();
    }
  }

  absl::Status Run(const Instruction& run) {
    const Footprint& footprint = FootprintOfRun(run);
    if (!budget_->Spend(footprint.reads.size() + footprint.writes.size() + footprint.accumulators.size() + 1)) {
      return Fault("extent", "the plan has more pieces of memory than can be checked");
    }
    for (const Touch& touch : footprint.reads)
      MR_RETURN_IF_ERROR(Read(run.slots(touch.position), touch, {run.micro_batch(), run.stage()}));
    for (const Touch& touch : footprint.writes) {
      MR_RETURN_IF_ERROR(Write(run.slots(touch.position), touch, {run.micro_batch(), run.stage()}));
    }
    for (uint64_t accumulator : footprint.accumulators) {
      // With replicas first, chunks may take turns in the same bytes.
      const std::pair<uint32_t, uint64_t> key = {replicas_first_ ? run.stage() : 0, accumulator};
      const auto [last, is_new] = added_.emplace(key, run.micro_batch());
      if (run.micro_batch() < last->second) {
        return Fault("accumulation-order",
                     absl::StrCat("adds micro-batch ", run.micro_batch(), " into the accumulator at ", accumulator,
                                  " after micro-batch ", last->second));
      }
      last->second = run.micro_batch();
    }
    return absl::OkStatus();
  }

  absl::Status Load(const Instruction& load) {
    const auto& values = program_.stages(load.stage()).values();
    for (int v = 0; v < values.size(); ++v) {
      if (values[v].life() == proto::LOADED) MR_RETURN_IF_ERROR(Whole(load, load.stage(), v, true));
    }
    return absl::OkStatus();
  }

  absl::Status Send(const Instruction& send) {
    const proto::Edge& edge = program_.edges(send.edge());
    const int id = layout_.first_value[edge.from_stage()] + edge.from_value();
    if (layout_.values[id].pool >= 0) return Whole(send, edge.from_stage(), edge.from_value(), false);
    if (weights_changed_ >= 0 && !order_.Before(weights_changed_, i_)) return WeightsUnordered(weights_changed_, i_);
    weight_sends_.push_back(i_);
    return absl::OkStatus();
  }

  absl::Status Receive(const Instruction& receive) {
    const proto::Edge& edge = program_.edges(receive.edge());
    return Whole(receive, edge.to_stage(), edge.to_value(), true);
  }

  // A SEND of a weight and a STEP or GATHER need an order. Those are all on the compute channel, so the nearest counts.
  absl::Status ChangeWeights() {
    weights_changed_ = i_;
    for (int send : weight_sends_) {
      if (!order_.Before(send, i_)) return WeightsUnordered(send, i_);
    }
    weight_sends_.clear();
    return absl::OkStatus();
  }

  absl::Status WeightsUnordered(int first, int second) {
    return Broken("unordered-bytes", {&program_, rank_, second},
                  absl::StrCat("and instruction ", first, " (", Describe(program_, list_.instructions(first)),
                               ") touch the same weights, and nothing orders them"));
  }

  // Reads or writes all of a value in the slot that the instruction names for its pool.
  absl::Status Whole(const Instruction& instruction, uint32_t stage, int value, bool write) {
    const int id = layout_.first_value[stage] + value;
    const ProgramLayout::PlacedValue& placed = layout_.values[id];
    if (!budget_->Spend(placed.last_atom - placed.first_atom + 1)) {
      return Fault("extent", "the plan has more pieces of memory than can be checked");
    }
    int position = 0;
    while (static_cast<int>(instruction.slots(position).pool()) != placed.pool) ++position;
    for (int atom = placed.first_atom; atom < placed.last_atom; ++atom) {
      const Touch touch = {position, atom, id};
      const Tenant tenant = {instruction.micro_batch(), stage};
      MR_RETURN_IF_ERROR(write ? Write(instruction.slots(position), touch, tenant)
                               : Read(instruction.slots(position), touch, tenant));
    }
    return absl::OkStatus();
  }

  // Is what the reader looks for in the slot then: written by its own stage, or, of a view, lent by another one?
  bool IsFor(const Tenancy& tenancy, const Touch& touch, const Tenant& reader) const {
    if (tenancy.micro_batch != reader.micro_batch) return false;
    if (tenancy.stage == static_cast<int>(reader.stage)) return true;
    const ProgramLayout::PlacedValue& placed = layout_.values[touch.value];
    return layout_.lent.contains(
        std::tuple(static_cast<int>(reader.stage), placed.pool, placed.first_atom, tenancy.stage));
  }

  absl::Status Read(const proto::SlotUse& use, const Touch& touch, const Tenant& reader) {
    Slot& slot = slots_.At(use);
    Cell& cell = slots_.CellOf(slot, touch.atom);
    const int tenancy = static_cast<int>(slot.tenancies.size()) - 1;
    if (tenancy < 0 || !IsFor(slot.tenancies.back(), touch, reader) || cell.tenancy != tenancy) {
      return NotThere(use, slot, touch, reader);
    }
    if (cell.value != touch.value && layout_.values[touch.value].written) {
      return Fault(
          "unordered-bytes",
          absl::StrCat("reads ", Name(touch), " in ", NameOfSlot(use), ", whose bytes instruction ", cell.writer, " (",
                       DescribeAt(cell.writer), ") has overwritten with ", NameOfValue(program_, layout_, cell.value)));
    }
    if (cell.writer != i_ && !order_.Before(cell.writer, i_))
      return Unordered("reads", "writes", cell.writer, use, touch);
    slot.tenancies.back().end = i_;
    for (int& earlier : cell.readers) {
      if (order_.ChannelOf(earlier) == order_.ChannelOf(i_)) {
        earlier = i_;
        return absl::OkStatus();
      }
    }
    cell.readers.push_back(i_);
    return absl::OkStatus();
  }

  absl::Status Write(const proto::SlotUse& use, const Touch& touch, const Tenant& writer) {
    Slot& slot = slots_.At(use);
    Cell& cell = slots_.CellOf(slot, touch.atom);
    const bool group = list_.instructions(i_).kind() == Instruction::GROUP;
    if (cell.writer >= 0 && (cell.writer == i_ ? group : !order_.Before(cell.writer, i_))) {
      return Unordered("writes", "writes", cell.writer, use, touch);
    }
    for (int reader : cell.readers) {
      if (reader == i_ ? group : !order_.Before(reader, i_)) return Unordered("writes", "reads", reader, use, touch);
    }
    const int stage = static_cast<int>(writer.stage);
    if (slot.tenancies.empty() || slot.tenancies.back().micro_batch != writer.micro_batch ||
        slot.tenancies.back().stage != stage) {
      slot.tenancies.push_back({writer.micro_batch, stage, i_, i_});
    }
    slot.tenancies.back().end = i_;
    cell.tenancy = static_cast<int>(slot.tenancies.size()) - 1;
    cell.value = touch.value;
    cell.writer = i_;
    cell.readers.clear();
    return absl::OkStatus();
  }

  // The micro-batch's value is not in the slot: either somebody wrote over it, or nobody ever wrote it.
  absl::Status NotThere(const proto::SlotUse& use, const Slot& slot, const Touch& touch, const Tenant& reader) {
    for (int t = static_cast<int>(slot.tenancies.size()) - 2; t >= 0; --t) {
      if (!IsFor(slot.tenancies[t], touch, reader)) continue;
      const Tenancy& next = slot.tenancies[t + 1];
      const bool same_stage = next.stage == slot.tenancies[t].stage;
      return Broken(
          "slot-in-use", {&program_, rank_, next.begin},
          absl::StrCat("writes micro-batch ", next.micro_batch,
                       same_stage ? "" : absl::StrCat(" of stage ", next.stage), " into ", NameOfSlot(use),
                       " while micro-batch ", reader.micro_batch,
                       same_stage ? "" : absl::StrCat(" of stage ", slot.tenancies[t].stage), " is in it, whose ",
                       Name(touch), " instruction ", i_, " (", DescribeAt(i_), ") still reads"));
    }
    return Fault("read-before-write", absl::StrCat("reads ", Name(touch), " of micro-batch ", reader.micro_batch,
                                                   " in ", NameOfSlot(use), ", which nothing has written"));
  }

  absl::Status Unordered(absl::string_view does, absl::string_view did, int earlier, const proto::SlotUse& use,
                         const Touch& touch) {
    return Fault("unordered-bytes",
                 absl::StrCat(does, " ", Name(touch), " in ", NameOfSlot(use), ", which instruction ", earlier, " (",
                              DescribeAt(earlier), ") ", did, ", and neither channel nor `after` orders the two"));
  }

  // What the host reads when the program has ended, it reads after the last instruction, whichever micro-batch it is
  // of.
  absl::Status ReadOutputs() {
    for (const proto::ProgramOutput& output : program_.outputs()) {
      if (output.rank() != rank_) continue;
      const int id = layout_.first_value[output.stage()] + output.value();
      const ProgramLayout::PlacedValue& placed = layout_.values[id];
      Slot* slot = slots_.Find(placed.pool, 0);
      for (int atom = placed.first_atom; atom < placed.last_atom; ++atom) {
        if (slot == nullptr || slots_.CellOf(*slot, atom).tenancy != static_cast<int>(slot->tenancies.size()) - 1 ||
            slot->tenancies.empty()) {
          return Broken("read-before-write", {&program_, rank_},
                        absl::StrCat("output ", Quoted(output.name()), ": nothing has written ",
                                     NameOfValue(program_, layout_, id), " in slot 0 when the program ends"));
        }
      }
      if (slot != nullptr && !slot->tenancies.empty()) slot->tenancies.back().end = list_.instructions_size() - 1;
    }
    return absl::OkStatus();
  }

  absl::Status Fault(absl::string_view rule, absl::string_view what) {
    return Broken(rule, {&program_, rank_, i_}, what);
  }
  std::string Name(const Touch& touch) const { return NameOfValue(program_, layout_, touch.value); }
  std::string NameOfSlot(const proto::SlotUse& use) const {
    return absl::StrCat("slot ", use.slot(), " of pool ", use.pool(), " ", Quoted(list_.pools(use.pool()).name()));
  }
  std::string DescribeAt(int i) const { return Describe(program_, list_.instructions(i)); }

  const proto::Program& program_;
  const proto::RankProgram& list_;
  const Wiring& wiring_;
  const ProgramLayout& layout_;
  const Footprints& footprints_;
  const int rank_;
  const bool replicas_first_;
  const Ordering order_;
  Slots slots_;
  WorkBudget* const budget_;
  int i_ = 0;
  int weights_changed_ = -1;                       // last STEP or GATHER
  std::vector<int> weight_sends_;                  // since then
  absl::flat_hash_map<std::pair<uint32_t, uint64_t>, uint32_t> added_;  // accumulator -> micro-batch added last
};

}  // namespace

absl::Status CheckDataflow(const proto::ExecutionPlan& plan, const proto::Program& program, const Wiring& wiring, const ProgramLayout& layout,
                           const PersistentMemory& memory, const Footprints& footprints, int rank, WorkBudget* budget) {
  MR_ASSIGN_OR_RETURN(Ordering order, Ordering::Of(program, wiring, rank));
  MR_ASSIGN_OR_RETURN(Slots slots, Slots::Of(program, layout, rank));
  RankFlow flow(program, wiring, layout, footprints, rank, ReplicasFirst(plan), std::move(order), std::move(slots),
                budget);
  MR_RETURN_IF_ERROR(flow.Follow());
  return flow.CheckLiveBytes(memory.ranks[rank].persistent_bytes);
}

}  // namespace millrace
