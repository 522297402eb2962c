// Recomputation: a stage keeps a few values and makes its activations again when the backward pass needs them.
#ifndef PARTITIONER_LOWER_RECOMPUTE_H_
#define PARTITIONER_LOWER_RECOMPUTE_H_

#include <vector>

#include "partitioner/lower/program_source.h"
#include "proto/plan.pb.h"

namespace millrace {

struct StageRecompute {
  // B: the copies are part of the backward pass; R: the schedule places them; PHASE_UNSPECIFIED: none.
  proto::Phase phase = proto::PHASE_UNSPECIFIED;
  int segments = 0;   // of B; 0: as many as take the fewest bytes. R has one
  int in_flight = 1;  // micro-batches that keep what a segment begins with
};

// Copies the forward nodes of a stage whose results its backward nodes read, and what leads to them, in front of the
// backward nodes, which then read the copies ("again/<name>"). What stays from F is what the stage gets from elsewhere
// and what crosses from segment to segment (segments.h). The copies of a segment stand right before the first backward
// node that reads one of them, so one segment's activations are alive at a time; those of an R all stand first.
// `stages` has an element for each stage.
//
// A copy makes the bits of its original: same kernel, same operands, and a Dropout draws by its key. What adds into
// metrics or gradients is not copied (LinearCrossEntropy, Accumulate), and its results are kept.
void Recompute(const std::vector<StageRecompute>& stages, StagedGraph* staged);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_RECOMPUTE_H_
