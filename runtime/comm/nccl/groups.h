// Which ranks share a communicator of NCCL's (the plan says, partitioner/lower/transfer_groups.h), and how all of them
// are made with few splits. Pure.
#ifndef RUNTIME_COMM_NCCL_GROUPS_H_
#define RUNTIME_COMM_NCCL_GROUPS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/plan.pb.h"

namespace millrace {

struct NcclGroup {
  std::string name;        // for reports: "edge 0 to 1", "replicas 1 3"
  std::vector<int> ranks;  // directed: {from, to}. Otherwise ascending
  bool directed = false;   // only what ranks[0] sends to ranks[1]
  // Which transfers: bit c for tags whose two highest bits are c (TagKind of runtime/worker/tags.h).
  uint32_t tag_classes = 0xf;
};

// INVALID_ARGUMENT for groups that lack two different ranks of 0 .. size - 1, are not ascending, or are there twice.
absl::Status CheckGroups(const std::vector<NcclGroup>& groups, int size);

// Those of a plan, in its order.
std::vector<NcclGroup> GroupsOf(const proto::ExecutionPlan& plan);
// A group for each direction of each pair: for ranks without a plan.
std::vector<NcclGroup> AllPairs(int size);

// Groups without a common rank are made by the same split: each round is one ncclCommSplit of all ranks. Rounds are
// filled greedily in order; every group is in exactly one, by index.
std::vector<std::vector<int>> SplitRounds(const std::vector<NcclGroup>& groups);

// For each peer, direction and class of tags the group that takes the transfer; -1: the communicator of all ranks.
class GroupRoutes {
 public:
  GroupRoutes(const std::vector<NcclGroup>& groups, int rank, int size);
  int Of(int peer, bool send, uint64_t tag) const { return table_[((tag >> 62) * 2 + send) * size_ + peer]; }

 private:
  const int size_;
  std::vector<int> table_;
};

}  // namespace millrace

#endif  // RUNTIME_COMM_NCCL_GROUPS_H_
