#include "runtime/plan/verify/layout.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/plan/broken.h"
#include "runtime/plan/verify/bytes.h"
#include "runtime/plan/verify/memory_rules.h"

namespace millrace {
namespace {

// Scratch bytes of a call belong to the same address space as SCRATCH values.
void AddScratch(const proto::StageProgram& stage, Atoms* scratch) {
  for (const proto::PhaseProgram& phase : stage.phases()) {
    for (const proto::KernelCall& call : phase.calls()) scratch->Add(call.scratch_offset(), call.scratch_bytes());
  }
}

void MarkWritten(const proto::Program& program, ProgramLayout* layout) {
  for (int s = 0; s < program.stages_size(); ++s) {
    const proto::StageProgram& stage = program.stages(s);
    ProgramLayout::PlacedValue* values = layout->values.data() + layout->first_value[s];
    for (int v = 0; v < stage.values_size(); ++v) values[v].written = stage.values(v).life() == proto::LOADED;
    for (const proto::PhaseProgram& phase : stage.phases()) {
      for (const proto::KernelCall& call : phase.calls()) {
        for (int v : call.outputs()) {
          if (v >= 0) values[v].written = true;
        }
      }
    }
  }
}

// A tensor inside one rank is an alias and leaves its bytes as they are; one that comes from elsewhere is written.
void MarkEdges(const proto::Program& program, const Wiring& wiring, ProgramLayout* layout) {
  for (const proto::Edge& edge : program.edges()) {
    ProgramLayout::PlacedValue& to = layout->values[layout->first_value[edge.to_stage()] + edge.to_value()];
    if (wiring.rank_of_stage[edge.from_stage()] == wiring.rank_of_stage[edge.to_stage()]) {
      layout->lent.emplace(edge.to_stage(), to.pool, to.first_atom, edge.from_stage());
    } else {
      to.written = true;
    }
  }
}

void IndexRank(const proto::Program& program, int rank, ProgramLayout* layout) {
  const proto::RankProgram& list = program.ranks(rank);
  ProgramLayout::RankLayout& mine = layout->ranks[rank];
  mine.pools.resize(list.pools_size());
  for (uint32_t stage : list.stages()) {
    absl::flat_hash_set<std::tuple<int, uint64_t, uint64_t>> distinct;
    for (const proto::Value& value : program.stages(stage).values()) {
      if (value.pool() >= 0) {
        mine.pools[value.pool()].Add(value.offset(), value.bytes());
        if (distinct.emplace(value.pool(), value.offset(), value.bytes()).second) {
          mine.slot_bytes[{value.pool(), static_cast<int>(stage)}] += RoundUp(value.bytes());
        }
      } else if (value.life() == proto::SCRATCH) {
        mine.scratch.Add(value.offset(), value.bytes());
      }
    }
    AddScratch(program.stages(stage), &mine.scratch);
  }
  for (Atoms& pool : mine.pools) pool.Cut();
  mine.scratch.Cut();
  for (uint32_t stage : list.stages()) {
    ProgramLayout::PlacedValue* placed = layout->values.data() + layout->first_value[stage];
    for (const proto::Value& value : program.stages(stage).values()) {
      placed->pool = value.pool() < 0 ? -1 : value.pool();
      const bool tracked = value.pool() >= 0 || value.life() == proto::SCRATCH;
      if (tracked) {
        const Atoms& atoms = value.pool() >= 0 ? mine.pools[value.pool()] : mine.scratch;
        std::tie(placed->first_atom, placed->last_atom) = atoms.Of(value.offset(), value.bytes());
      }
      ++placed;
    }
  }
}

}  // namespace

void Atoms::Add(uint64_t begin, uint64_t bytes) {
  if (bytes == 0) return;
  cuts_.push_back(begin);
  cuts_.push_back(begin + bytes);
}

void Atoms::Cut() {
  std::sort(cuts_.begin(), cuts_.end());
  cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
}

std::pair<int, int> Atoms::Of(uint64_t begin, uint64_t bytes) const {
  if (bytes == 0) return {0, 0};
  const auto at = [this](uint64_t cut) {
    return static_cast<int>(std::lower_bound(cuts_.begin(), cuts_.end(), cut) - cuts_.begin());
  };
  return {at(begin), at(begin + bytes)};
}

absl::StatusOr<ProgramLayout> LayOut(const proto::ExecutionPlan& plan, const proto::Program& program,
                                     const Wiring& wiring, const PersistentMemory& memory) {
  MR_RETURN_IF_ERROR(CheckTransientMemory(program, wiring, memory));
  MR_RETURN_IF_ERROR(CheckSlots(program));
  ProgramLayout layout;
  int64_t values = 0;
  for (const proto::StageProgram& stage : program.stages()) {
    layout.first_value.push_back(static_cast<int>(values));
    values += stage.values_size();
  }
  if (values > (int64_t{1} << 30)) return Broken("extent", {&program}, absl::StrCat(values, " values"));
  layout.values.resize(values);
  layout.ranks.resize(program.ranks_size());
  for (int rank = 0; rank < program.ranks_size(); ++rank) IndexRank(program, rank, &layout);
  MarkWritten(program, &layout);
  MarkEdges(program, wiring, &layout);
  return layout;
}

std::pair<int, int> StageAndValue(const ProgramLayout& layout, int value) {
  const auto after = std::upper_bound(layout.first_value.begin(), layout.first_value.end(), value);
  const int stage = static_cast<int>(after - layout.first_value.begin()) - 1;
  return {stage, value - layout.first_value[stage]};
}

std::string NameOfValue(const proto::Program& program, const ProgramLayout& layout, int value) {
  if (value < 0) return "the scratch of a kernel";
  const auto [stage, index] = StageAndValue(layout, value);
  return absl::StrCat("value ", Quoted(program.stages(stage).values(index).name()), " of stage ", stage);
}

}  // namespace millrace
