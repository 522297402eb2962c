// Costs measured before, kept for the next profile on the same machine.
#ifndef RUNTIME_PROFILE_COST_CACHE_H_
#define RUNTIME_PROFILE_COST_CACHE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/costs.pb.h"

namespace millrace {

// $XDG_CACHE_HOME/millrace/costs, else $HOME/.cache/millrace/costs; empty when neither is an absolute path.
std::string CostCacheFolder();

// The file for what `machine` says of itself (IdentifyMachine) and this version of Millrace: its name is a hash of
// them.
std::string CostCacheFile(absl::string_view folder, const proto::CostTable& machine, absl::string_view version);

// What the file holds, or an empty table: when it is missing, and, with a warning in the log, when it is damaged or of
// another machine, or when any figure in it is no number.
proto::CostTable ReadCostCache(absl::string_view file, const proto::CostTable& machine);

// Adds `table` to what the file holds, its entries before older ones, and writes the whole atomically. Makes the
// folder.
absl::Status WriteCostCache(absl::string_view file, const proto::CostTable& table);

}  // namespace millrace

#endif  // RUNTIME_PROFILE_COST_CACHE_H_
