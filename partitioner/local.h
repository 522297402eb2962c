// Partitioning for this machine: the devices of a cluster without a file, and what a linked backend needs.
#ifndef PARTITIONER_LOCAL_H_
#define PARTITIONER_LOCAL_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "partitioner/partition.h"
#include "proto/cluster.pb.h"

namespace millrace {

// `count` devices "<kind>:0" ... with an even share of this machine's cores each, at least one thread, that share these
// cores and what hangs on them: caches and memory.
proto::Cluster LocalCluster(absl::string_view kind, int count);

// Asks the kernels of a linked backend, whose libraries compute as `settings` say. One device is opened and kept for as long as any copy of the function lives.
// Errors are OpenDevice's (kernels/backends.h).
absl::StatusOr<KernelNeedsFn> NeedsOf(absl::string_view device_kind, const proto::DeviceSettings& settings = {});

}  // namespace millrace

#endif  // PARTITIONER_LOCAL_H_
