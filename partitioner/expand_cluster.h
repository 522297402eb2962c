// Clusters in few lines: groups of equal devices spelt out.
#ifndef PARTITIONER_EXPAND_CLUSTER_H_
#define PARTITIONER_EXPAND_CLUSTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proto/cluster.pb.h"

namespace millrace {

// The device's own name, or "<name>:0" ... of a group.
std::vector<std::string> NamesOf(const proto::ClusterDevice& device);

// Devices, groups counted out.
int64_t DeviceCount(const proto::Cluster& cluster);

// Every device by itself (count 1), in the order of the list; those without a host get "host <k>" by devices_per_host,
// where that is given. REQUIRES: CheckCluster has passed.
proto::Cluster ExpandCluster(const proto::Cluster& cluster);

}  // namespace millrace

#endif  // PARTITIONER_EXPAND_CLUSTER_H_
