// The default cut: dynamic programming over the linearised graph, as in PipeDream (Narayanan et al. 2019, section 3.1)
// with one worker per stage.
#ifndef PARTITIONER_CUT_BALANCED_H_
#define PARTITIONER_CUT_BALANCED_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "partitioner/cut/cut.h"

namespace millrace {

// Seconds to move so many bytes between neighbouring stages.
using LinkSecondsFn = std::function<double(uint64_t bytes)>;

// Minimises the slowest stage, then the bytes that cross borders, then puts borders early. A stage's time is the sum of
// F, B and W of its units on its device and the time of every tensor that crosses its border, each once, however many
// stages it goes to. O(U^2 (stages + tensors per unit)) time for U units; of chains of 2048 units and more only every
// k-th border is looked at. Errors are CheckStageCount's.
absl::StatusOr<Cut> BalancedCut(const Chain& chain, const std::vector<int>& device_of_stage,
                                const LinkSecondsFn& link_seconds);

// The time and border bytes of units [begin, end) as a stage on `device`: what BalancedCut minimises.
struct StageWeight {
  double seconds = 0;
  uint64_t bytes = 0;
};
StageWeight WeighStage(const Chain& chain, int begin, int end, int device, const LinkSecondsFn& link_seconds);

}  // namespace millrace

#endif  // PARTITIONER_CUT_BALANCED_H_
