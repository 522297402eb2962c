// From steps to instructions: channels, slots, and what each must come after.
#ifndef PARTITIONER_LOWER_INSTRUCTIONS_H_
#define PARTITIONER_LOWER_INSTRUCTIONS_H_

#include <functional>
#include <vector>

#include "partitioner/lower/pools.h"
#include "proto/plan.pb.h"

namespace millrace {

struct StepSeconds {
  TransferSecondsFn transfer;
  std::function<double(int stage)> load;
};

// Appends one rank's steps to its program. SEND and RECV get a channel per (peer, direction), numbered by first use.
// `after` names what must be over on other channels before the slots may be read or overwritten, and leaves out what
// already follows from the rest. `edge_of_transfer` are indices into Program.edges.
void EmitInstructions(const Flow& flow, const Pools& pools, const std::vector<Step>& list,
                      const std::vector<int>& edge_of_transfer, const StepSeconds& seconds, proto::RankProgram* out);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_INSTRUCTIONS_H_
