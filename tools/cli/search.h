// `millrace partition GRAPH --cluster=FILE --global-batch=N`: chooses how to train, and says why.
#ifndef TOOLS_CLI_SEARCH_H_
#define TOOLS_CLI_SEARCH_H_

#include <string>

#include "absl/status/status.h"
#include "proto/model.pb.h"
#include "tools/cli/flags.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/search_question.h"

namespace millrace {

// Prints to stdout the answer on paper and the best plan that this build can run (where it has the
// backend), each with its runners-up, and writes to `out`, when not empty, the latter; where there is none, one replica
// of the former. Of `plan_flags`, --pp, --micro-batch, --schedule, --chunks and --recompute fix what they name, if
// `flags` says that they were given.
absl::Status PartitionSearch(const proto::Model& model, const SearchFlags& search, const PlanFlags& plan_flags,
                             const FlagSet& flags, const std::string& out, bool json);

}  // namespace millrace

#endif  // TOOLS_CLI_SEARCH_H_
