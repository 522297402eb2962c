// Recomputation: a stage keeps its inputs and makes its activations again when the backward pass needs them.
#ifndef PARTITIONER_LOWER_RECOMPUTE_H_
#define PARTITIONER_LOWER_RECOMPUTE_H_

#include <vector>

#include "partitioner/lower/program_source.h"
#include "proto/plan.pb.h"

namespace millrace {

// Copies the forward nodes of a stage whose results its backward nodes read, and what leads to them from the stage's
// inputs, before its first backward node; the backward nodes then read the copies ("again/<name>"). `phase` by stage:
// B, so that the copies are part of the backward pass; R, so that a schedule places them; PHASE_UNSPECIFIED: none.
//
// A copy makes the bits of its original: same kernel, same operands, and a Dropout draws by its key. What adds into
// metrics or gradients is not copied (LinearCrossEntropy, Accumulate), and its results are kept.
void Recompute(const std::vector<proto::Phase>& phase, StagedGraph* staged);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_RECOMPUTE_H_
