// `millrace partition GRAPH --cluster=FILE --global-batch=N`: chooses how to train, and says why.
#ifndef TOOLS_CLI_SEARCH_H_
#define TOOLS_CLI_SEARCH_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/model.pb.h"
#include "tools/cli/flags.h"
#include "tools/cli/plan_flags.h"

namespace millrace {

struct SearchFlags {
  int64_t global_batch = 0;
  int64_t tensor_parallel = 0, replicas = 0;  // fixed; 0: free
  int64_t sharding = -1;                      // fixed; -1: free

  void Declare(FlagSet* flags);
};

// Prints to stdout the answer on paper (GPTs only) and the best plan that this build can run (where it has the
// backend), each with its runners-up, and writes to `out`, when not empty, the latter; where there is none, one replica
// of the former. Of `plan_flags`, --pp, --micro-batch, --schedule, --chunks and --recompute fix what they name, if
// `flags` says that they were given.
absl::Status PartitionSearch(const proto::Model& model, const SearchFlags& search, const PlanFlags& plan_flags,
                             const FlagSet& flags, const std::string& out, bool json);

}  // namespace millrace

#endif  // TOOLS_CLI_SEARCH_H_
