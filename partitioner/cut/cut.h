// Where a chain of units is cut into stages.
#ifndef PARTITIONER_CUT_CUT_H_
#define PARTITIONER_CUT_CUT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "partitioner/cut/linearise.h"

namespace millrace {

// first_unit[s] is the first unit of stage s; first_unit[0] = 0, ascending, no stage empty.
struct Cut {
  std::vector<int> first_unit;
  friend bool operator==(const Cut&, const Cut&) = default;
};

// INVALID_ARGUMENT with both numbers when there are more stages than units, or no stage.
absl::Status CheckStageCount(const Chain& chain, int stages);

// The same units with those of the first stage first, and so on, in each stage in the chain's order; and the cut that
// the stages then are. `stage_of_unit` keeps chain.before and leaves no stage empty.
struct OrderedCut {
  Chain chain;
  Cut cut;
  std::vector<int> order;  // by unit of `chain`: the one it was
};
OrderedCut InOrderOfStages(const Chain& chain, const std::vector<int>& stage_of_unit);

// By unit.
std::vector<int> StagesOfUnits(const Chain& chain, const Cut& cut);

// Of every node of the graph that the chain was made from.
std::vector<int> StagesOfNodes(const Chain& chain, const Cut& cut);

// One stage per line: its units, seconds of F, B and W on `device_of_stage`, parameter and border bytes. For --dump.
std::string CutText(const Chain& chain, const Cut& cut, const std::vector<int>& device_of_stage);

}  // namespace millrace

#endif  // PARTITIONER_CUT_CUT_H_
