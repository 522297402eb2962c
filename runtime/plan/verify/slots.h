// The slots of a rank's pools while its list is followed: whose micro-batch is in each, which bytes were written, and
// who touched them last.
#ifndef RUNTIME_PLAN_VERIFY_SLOTS_H_
#define RUNTIME_PLAN_VERIFY_SLOTS_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/layout.h"

namespace millrace {

// One stay of a micro-batch of a stage in a slot.
struct Tenancy {
  uint32_t micro_batch = 0;
  int stage = 0;  // that wrote
  int begin = 0;  // instruction that first wrote
  int end = 0;    // instruction that last read or wrote
};

// A piece of a slot.
struct Cell {
  int tenancy = -1;                     // of the last write
  int value = -1;                       // last written there, index into ProgramLayout.values
  int writer = -1;                      // instruction
  absl::InlinedVector<int, 2> readers;  // since then: the last of each channel
};

struct Slot {
  size_t first_cell = 0;
  std::vector<Tenancy> tenancies;
};

class Slots {
 public:
  // Makes cells for the slots that the list names, and no others. Rule `extent` when they are more than fit in memory.
  static absl::StatusOr<Slots> Of(const proto::Program& program, const ProgramLayout& layout, int rank);

  Slot& At(const proto::SlotUse& use) { return slots_[index_.at(Key(use.pool(), use.slot()))]; }
  Slot* Find(uint32_t pool, uint32_t slot) {
    const auto found = index_.find(Key(pool, slot));
    return found == index_.end() ? nullptr : &slots_[found->second];
  }
  Cell& CellOf(const Slot& slot, int atom) { return cells_[slot.first_cell + atom]; }

  // bytes alive at each instruction of the list: every slot counts what the layout of the stage that is in it takes.
  std::vector<uint64_t> AliveBytes(const ProgramLayout::RankLayout& layout, int instructions) const;

 private:
  static uint64_t Key(uint32_t pool, uint32_t slot) { return uint64_t{pool} << 32 | slot; }

  absl::flat_hash_map<uint64_t, int> index_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> pool_of_slot_;
  std::vector<Cell> cells_;
};

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_SLOTS_H_
