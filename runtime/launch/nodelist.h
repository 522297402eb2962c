// Slurm's short forms: "node[001-015,017],login2" for hosts, "2(x3),1" for tasks on each of them.
#ifndef RUNTIME_LAUNCH_NODELIST_H_
#define RUNTIME_LAUNCH_NODELIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// At most this many hosts come out of one list, however short it is written.
inline constexpr int kMostHosts = 1 << 16;

// Host names in order, leading zeros kept; several brackets in one name multiply, the last one fastest, as in
// "rack[1-2]node[0-3]". INVALID_ARGUMENT says at which byte the list stops making sense.
absl::StatusOr<std::vector<std::string>> ExpandNodelist(absl::string_view list);

// Tasks of host `index` in "2(x3),1"; INVALID_ARGUMENT for another grammar or an index past the end.
absl::StatusOr<int64_t> TasksOfHost(absl::string_view counts, int64_t index);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_NODELIST_H_
