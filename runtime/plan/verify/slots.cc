#include "runtime/plan/verify/slots.h"

#include "absl/strings/str_cat.h"
#include "runtime/plan/broken.h"

namespace millrace {

absl::StatusOr<Slots> Slots::Of(const proto::Program& program, const ProgramLayout& layout, int rank) {
  constexpr size_t kMostCells = size_t{1} << 26;
  Slots slots;
  size_t cells = 0;
  const auto add = [&](const proto::Instruction& instruction) {
    for (const proto::SlotUse& use : instruction.slots()) {
      if (!slots.index_.emplace(Key(use.pool(), use.slot()), static_cast<int>(slots.slots_.size())).second) continue;
      slots.slots_.emplace_back().first_cell = cells;
      slots.pool_of_slot_.push_back(use.pool());
      cells += layout.ranks[rank].pools[use.pool()].size();
    }
  };
  for (const proto::Instruction& instruction : program.ranks(rank).instructions()) {
    add(instruction);
    for (const proto::Instruction& member : instruction.group()) add(member);
    if (cells > kMostCells) {
      return Broken("extent", {&program, rank}, "its slots have more pieces of memory than can be checked");
    }
  }
  slots.cells_.resize(cells);
  return slots;
}

std::vector<uint64_t> Slots::AliveBytes(const ProgramLayout::RankLayout& layout, int instructions) const {
  std::vector<uint64_t> alive(instructions + 1, 0);
  for (size_t s = 0; s < slots_.size(); ++s) {
    for (const Tenancy& tenancy : slots_[s].tenancies) {
      const uint64_t bytes = layout.slot_bytes.at({static_cast<int>(pool_of_slot_[s]), tenancy.stage});
      alive[tenancy.begin] += bytes;
      alive[tenancy.end + 1] -= bytes;
    }
  }
  for (int i = 1; i <= instructions; ++i) alive[i] += alive[i - 1];
  alive.pop_back();
  return alive;
}

}  // namespace millrace
