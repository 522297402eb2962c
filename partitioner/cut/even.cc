#include "partitioner/cut/even.h"

#include "proto/status_macros.h"

namespace millrace {

absl::StatusOr<Cut> EvenCut(const Chain& chain, int stages) {
  MR_RETURN_IF_ERROR(CheckStageCount(chain, stages));
  Cut cut;
  for (int64_t s = 0; s < stages; ++s) {
    cut.first_unit.push_back(static_cast<int>(s * static_cast<int64_t>(chain.units.size()) / stages));
  }
  return cut;
}

}  // namespace millrace
