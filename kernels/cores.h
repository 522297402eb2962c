// How many processors this process may really use: its affinity, and the quota of its control group. The machine's own
// count says nothing in a container or under a batch system.
#ifndef KERNELS_CORES_H_
#define KERNELS_CORES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace millrace {

struct AllowedCores {
  int cores = 1;           // the smaller of both, whole cores, at least 1
  int affinity = 1;        // processors in the thread's affinity mask (cpuset, taskset, numactl)
  double quota = 0;        // of the control group and all above it, in cores; 0: none
  std::string quota_from;  // the file that says so; empty: none does
};

// `root` is put before /proc and /sys. A file that is missing or makes no sense sets no limit. `affinity` 0: ask the
// kernel.
AllowedCores FindAllowedCores(absl::string_view root, int affinity = 0);

}  // namespace millrace

#endif  // KERNELS_CORES_H_
