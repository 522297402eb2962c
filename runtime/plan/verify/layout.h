// A program's transient memory, checked and indexed: pools, scratch, and for every value the bytes it covers, cut into
// atoms so that shared bytes are found by comparing integers.
#ifndef RUNTIME_PLAN_VERIFY_LAYOUT_H_
#define RUNTIME_PLAN_VERIFY_LAYOUT_H_

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "proto/plan.pb.h"
#include "runtime/plan/verify/persistent.h"
#include "runtime/plan/wiring.h"

namespace millrace {

// Ranges of one address space cut at each other's ends: two ranges share a byte exactly when they share an atom.
class Atoms {
 public:
  void Add(uint64_t begin, uint64_t bytes);
  void Cut();  // after the last Add
  // Atoms [first, last) of a range that was added.
  std::pair<int, int> Of(uint64_t begin, uint64_t bytes) const;
  int size() const { return cuts_.empty() ? 0 : static_cast<int>(cuts_.size()) - 1; }

 private:
  std::vector<uint64_t> cuts_;
};

struct ProgramLayout {
  struct PlacedValue {
    int pool = -1;                      // of the rank; -1: fixed address
    int first_atom = 0, last_atom = 0;  // of the pool, or of the rank's scratch for SCRATCH; empty for other lives
    bool written = false;  // by a call, a RECV or a LOAD; a value that nothing writes is a view of another's bytes
  };
  struct RankLayout {
    std::vector<Atoms> pools;
    // By (pool, stage): the distinct ranges of the stage's values there, each rounded up to 256, added up: what a slot
    // costs that this stage is in.
    absl::flat_hash_map<std::pair<int, int>, uint64_t> slot_bytes;
    Atoms scratch;
  };
  // (stage, pool, first atom, stage that lends): what an edge inside a rank lets the views of a stage read.
  absl::flat_hash_set<std::tuple<int, int, int, int>> lent;
  std::vector<int> first_value;  // of each stage: index into values
  std::vector<PlacedValue> values;
  std::vector<RankLayout> ranks;
};

// Rules `index`, `extent`, `alignment`, `overlap` and the byte counts of `shapes` over pools, scratch, values, calls,
// edges and the slots that instructions name.
absl::StatusOr<ProgramLayout> LayOut(const proto::ExecutionPlan& plan, const proto::Program& program,
                                     const Wiring& wiring, const PersistentMemory& memory);

// The stage of a program-wide value index, and the value.
std::pair<int, int> StageAndValue(const ProgramLayout& layout, int value);
// "stage 1's value \"h\"".
std::string NameOfValue(const proto::Program& program, const ProgramLayout& layout, int value);

}  // namespace millrace

#endif  // RUNTIME_PLAN_VERIFY_LAYOUT_H_
