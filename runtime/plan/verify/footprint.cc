#include "runtime/plan/verify/footprint.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/verify/bytes.h"
#include "runtime/plan/verify/calls.h"

namespace millrace {
namespace {

constexpr int kKernelScratch = -1;

// Follows the calls of one phase. Scratch counts as one more pool, after the phase's own.
class Walk {
 public:
  Walk(const proto::Program& program, const ProgramLayout& layout, int rank, int stage,
       const proto::PhaseProgram& phase, WorkBudget* budget)
      : program_(program), layout_(layout), phase_(phase), here_{&program, rank}, stage_(stage), budget_(budget) {
    for (int position = 0; position < phase.pools_size(); ++position) position_of_[phase.pools(position)] = position;
    rank_ = &layout.ranks[rank];
  }

  absl::StatusOr<Footprint> Follow() {
    for (call_ = 0; call_ < phase_.calls_size(); ++call_) {
      const proto::KernelCall& call = phase_.calls(call_);
      for (int v : call.inputs()) {
        if (v >= 0) MR_RETURN_IF_ERROR(Read(v, /*is_input=*/true));
      }
      if (call.scratch_bytes() > 0) {
        const auto [first, last] = rank_->scratch.Of(call.scratch_offset(), call.scratch_bytes());
        MR_RETURN_IF_ERROR(WriteAtoms(scratch_position(), first, last, kKernelScratch));
      }
      for (int o = 0; o < call.outputs_size(); ++o) {
        if (call.outputs(o) >= 0) MR_RETURN_IF_ERROR(Write(call.outputs(o), Accumulates(call, o)));
      }
    }
    Finish();
    return std::move(footprint_);
  }

 private:
  struct State {
    int value = -2;       // last written here in this RUN; -2: nothing yet
    int written_by = -1;  // call
    int read_by = -1;     // call that last had it as an input
  };
  struct Interval {
    int first, last;  // calls
  };

  int scratch_position() const { return phase_.pools_size(); }
  const proto::Value& ValueOf(int v) const { return program_.stages(stage_).values(v); }
  static uint64_t Key(int position, int atom) { return uint64_t(position) << 32 | uint32_t(atom); }

  // Position in the slots of RUN; scratch for SCRATCH; -1 for what is permanent.
  int PositionOf(int v) const {
    const proto::Value& value = ValueOf(v);
    if (value.pool() >= 0) return position_of_.at(value.pool());
    return value.life() == proto::SCRATCH ? scratch_position() : -1;
  }

  absl::Status Read(int v, bool is_input) {
    const int position = PositionOf(v);
    if (position < 0) return absl::OkStatus();
    const int id = layout_.first_value[stage_] + v;
    const ProgramLayout::PlacedValue& placed = layout_.values[id];
    if (!budget_->Spend(placed.last_atom - placed.first_atom + 1)) return TooMuch();
    for (int atom = placed.first_atom; atom < placed.last_atom; ++atom) {
      State& state = states_[Key(position, atom)];
      if (is_input) state.read_by = call_;
      if (state.value == -2) {
        if (position == scratch_position()) {
          return Fault("read-before-write", absl::StrCat(NameOfValue(program_, layout_, id),
                                                         " lies in scratch and no earlier call of this RUN wrote it"));
        }
        if (outside_.insert({Key(position, atom), v}).second) footprint_.reads.push_back({position, atom, id});
        continue;
      }
      if (state.value != id && (placed.written || state.value == kKernelScratch)) return Clobbered(state, id);
      if (position == scratch_position()) alive_[state.value].last = call_;
    }
    return absl::OkStatus();
  }

  absl::Status Clobbered(const State& state, int id) {
    if (!written_.contains(id) && stage_value_is_scratch(id)) {
      return Fault("read-before-write", absl::StrCat(NameOfValue(program_, layout_, id),
                                                     " lies in scratch and no earlier call of this RUN wrote it"));
    }
    return Fault("unordered-bytes",
                 absl::StrCat("reads ", NameOfValue(program_, layout_, id), ", whose bytes call ", state.written_by,
                              " (", Quoted(phase_.calls(state.written_by).node()), ") has overwritten with ",
                              NameOfValue(program_, layout_, state.value)));
  }

  bool stage_value_is_scratch(int id) const {
    return ValueOf(id - layout_.first_value[stage_]).life() == proto::SCRATCH;
  }

  absl::Status Write(int v, bool accumulates) {
    const proto::Value& value = ValueOf(v);
    if (value.life() == proto::GRADIENT || value.life() == proto::METRIC) {
      if (!accumulates) {
        return Fault("accumulation-order", absl::StrCat("overwrites the accumulator ", Quoted(value.name())));
      }
      footprint_.accumulators.push_back(value.offset());
      return absl::OkStatus();
    }
    const int position = PositionOf(v);
    if (position < 0) return absl::OkStatus();
    if (accumulates) MR_RETURN_IF_ERROR(Read(v, /*is_input=*/false));
    const int id = layout_.first_value[stage_] + v;
    return WriteAtoms(position, layout_.values[id].first_atom, layout_.values[id].last_atom, id);
  }

  absl::Status WriteAtoms(int position, int first, int last, int id) {
    if (!budget_->Spend(last - first + 1)) return TooMuch();
    for (int atom = first; atom < last; ++atom) {
      State& state = states_[Key(position, atom)];
      if (state.read_by == call_) {
        return Fault("unordered-bytes",
                     absl::StrCat("writes ", NameOfValue(program_, layout_, id), " over bytes of its own inputs"));
      }
      if (state.written_by == call_ && state.value != id) {
        return Fault("unordered-bytes",
                     absl::StrCat("writes ", NameOfValue(program_, layout_, id), " and ",
                                  NameOfValue(program_, layout_, state.value), " to the same bytes"));
      }
      state.value = id;
      state.written_by = call_;
    }
    if (id == kKernelScratch) return absl::OkStatus();
    written_.insert(id);
    if (position == scratch_position()) {
      Interval& interval = alive_.try_emplace(id, Interval{call_, call_}).first->second;
      interval.last = call_;
    }
    return absl::OkStatus();
  }

  void Finish() {
    for (const auto& [key, state] : states_) {
      const int position = static_cast<int>(key >> 32);
      if (state.value < 0 || position == scratch_position()) continue;
      footprint_.writes.push_back({position, static_cast<int>(key & 0xffffffffu), state.value});
    }
    std::sort(footprint_.writes.begin(), footprint_.writes.end(), [](const Touch& a, const Touch& b) {
      return std::tie(a.position, a.atom) < std::tie(b.position, b.atom);
    });
    std::vector<uint64_t> change(phase_.calls_size() + 1, 0);
    for (const auto& [id, interval] : alive_) {
      const uint64_t bytes = RoundUp(ValueOf(id - layout_.first_value[stage_]).bytes());
      change[interval.first] += bytes;
      change[interval.last + 1] -= bytes;
    }
    uint64_t alive = 0;
    for (int c = 0; c < phase_.calls_size(); ++c) {
      alive += change[c];
      footprint_.scratch_bytes = std::max(footprint_.scratch_bytes, alive + RoundUp(phase_.calls(c).scratch_bytes()));
    }
  }

  absl::Status Fault(absl::string_view rule, absl::string_view what) {
    return Broken(rule, here_,
                  absl::StrCat("stage ", stage_, ", phase ", proto::Phase_Name(phase_.phase()), ", call ", call_, " (",
                               Quoted(phase_.calls(call_).node()), "): ", what));
  }
  absl::Status TooMuch() { return Fault("extent", "the plan has more pieces of memory than can be checked"); }

  const proto::Program& program_;
  const ProgramLayout& layout_;
  const proto::PhaseProgram& phase_;
  const ProgramLayout::RankLayout* rank_;
  const Where here_;
  const int stage_;
  WorkBudget* const budget_;
  int call_ = 0;
  Footprint footprint_;
  absl::flat_hash_map<int, int> position_of_;              // pool -> position
  absl::flat_hash_map<uint64_t, State> states_;            // (position, atom)
  absl::flat_hash_set<std::pair<uint64_t, int>> outside_;  // reads of what the RUN found there
  absl::flat_hash_set<int> written_;                       // values
  absl::flat_hash_map<int, Interval> alive_;               // scratch values
};

}  // namespace

absl::StatusOr<Footprint> FootprintOf(const proto::Program& program, const ProgramLayout& layout, int rank, int stage,
                                      const proto::PhaseProgram& phase, WorkBudget* budget) {
  return Walk(program, layout, rank, stage, phase, budget).Follow();
}

}  // namespace millrace
