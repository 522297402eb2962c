// Cuts over the order of the graph itself, not of one list: dynamic programming over down-sets
// (cost_graph/down_sets.h), with pinned units and the memory of each stage.
#ifndef PARTITIONER_CUT_BEST_CUT_H_
#define PARTITIONER_CUT_BEST_CUT_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partitioner/cut/balanced.h"
#include "partitioner/cut/cut.h"

namespace millrace {

// Bytes of a stage, as far as sums over its units tell: fixed + per_parameter_byte * parameters + in_flight * stash.
struct StageMemory {
  double fixed = 0;
  double per_parameter_byte = 0;
  double in_flight = 0;
  double limit = std::numeric_limits<double>::infinity();
};

struct CutRules {
  std::vector<int> device_of_stage;  // one for each stage
  LinkSecondsFn link_seconds;
  // Between a stage and the next one, where links differ: what ImproveStep reckons with. Empty: link_seconds.
  std::function<double(int stage, uint64_t bytes)> boundary_seconds;
  std::vector<int> pinned;          // by unit: its stage, or -1; empty: none is
  std::vector<StageMemory> memory;  // by stage; empty: no limit
};

enum class CutSearch {
  kDefault,   // exact where down-sets are few, else over the prefixes of several topological orders
  kExact,     // RESOURCE_EXHAUSTED where there are too many down-sets
  kSmallest,  // over orders: the least of the largest share of its limit that a stage takes, whatever the time
};

struct FoundCut {
  std::vector<int> stage_of_unit;
  bool exact = false;
  std::string method;  // in words
};

// Minimises the slowest stage, then the bytes that cross borders, both as BalancedCut has them, whose cut is taken
// where nothing is better. Deterministic. Errors are CheckStageCount's, and FAILED_PRECONDITION when no cut keeps
// the pins and the limits.
absl::StatusOr<FoundCut> BestCut(const Chain& chain, const CutRules& rules, CutSearch search);

// Does a stage of these units, [begin, end) of the chain, keep the pins and the limit of stage `stage`?
bool MayBeStage(const Chain& chain, const CutRules& rules, int stage, int begin, int end);

}  // namespace millrace

#endif  // PARTITIONER_CUT_BEST_CUT_H_
