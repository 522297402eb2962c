// As many units in every stage, whatever they cost.
#ifndef PARTITIONER_CUT_EVEN_H_
#define PARTITIONER_CUT_EVEN_H_

#include "absl/status/statusor.h"
#include "partitioner/cut/cut.h"

namespace millrace {

// Counts differ by one at most. Errors are CheckStageCount's.
absl::StatusOr<Cut> EvenCut(const Chain& chain, int stages);

}  // namespace millrace

#endif  // PARTITIONER_CUT_EVEN_H_
