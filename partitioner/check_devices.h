// Checks on what is said of the machine: the cluster and the costs. Both come from files.
#ifndef PARTITIONER_CHECK_DEVICES_H_
#define PARTITIONER_CHECK_DEVICES_H_

#include "absl/status/status.h"
#include "proto/cluster.pb.h"
#include "proto/costs.pb.h"

namespace millrace {

// INVALID_ARGUMENT names the device or link and what is wrong: no name, a name twice (groups spelt out), no kind, a rate
// or latency that is negative or no number, more reached than the peak, a link to a device that there is not.
absl::Status CheckCluster(const proto::Cluster& cluster);

// INVALID_ARGUMENT names the kernel or link: times and rates that are negative or no numbers, a kernel without a key or
// with two costs.
absl::Status CheckCostTable(const proto::CostTable& costs);

}  // namespace millrace

#endif  // PARTITIONER_CHECK_DEVICES_H_
