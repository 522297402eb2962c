// Which ranks get a communicator of their own (proto TransferGroup), and what that costs in device memory.
#ifndef PARTITIONER_LOWER_TRANSFER_GROUPS_H_
#define PARTITIONER_LOWER_TRANSFER_GROUPS_H_

#include <cstdint>

#include "proto/plan.pb.h"

namespace millrace {

// What a rank keeps for a communicator of NCCL, connected to one peer: staging of 4 MiB for each of two channels and
// direction. Taken from NCCL's documented defaults (NCCL_BUFFSIZE); no GPU has confirmed the sum.
inline constexpr uint64_t kCommunicatorBytes = uint64_t{16} << 20;

// Fills in plan->transfer_groups, in the order of the plan: each direction of each pair of ranks that an edge joins,
// each set of ranks that holds a tied parameter, each set of replicas. Every rank's outside_bytes grows by its part,
// and by that of the communicator of all ranks. Nothing for one rank. The plan has its ranks, programs and buckets.
void AddTransferGroups(proto::ExecutionPlan* plan);

}  // namespace millrace

#endif  // PARTITIONER_LOWER_TRANSFER_GROUPS_H_
