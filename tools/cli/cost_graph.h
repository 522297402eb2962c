// `millrace partition --cost-graph=FILE`: plans for graphs of costs that other systems wrote.
#ifndef TOOLS_CLI_COST_GRAPH_H_
#define TOOLS_CLI_COST_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/cli/flags.h"
#include "tools/cli/plan_flags.h"

namespace millrace {

struct CostGraphFlags {
  std::string file;
  int64_t host_devices = 0;
  std::string levels;                  // "4x4"
  std::vector<std::string> bandwidth;  // numbers

  void Declare(FlagSet* flags);
};

// Reads, plans and prints to stdout. Of `plan_flags`, --devices (a number), --memory-limit (GiB), --micro-batches and
// --cut mean something here; `flags` says which were given.
absl::Status PartitionCostGraph(const CostGraphFlags& cost_graph, const PlanFlags& plan_flags, const FlagSet& flags,
                                bool json);

}  // namespace millrace

#endif  // TOOLS_CLI_COST_GRAPH_H_
