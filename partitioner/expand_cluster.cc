#include "partitioner/expand_cluster.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace millrace {

std::vector<std::string> NamesOf(const proto::ClusterDevice& device) {
  if (device.count() <= 1) return {device.name()};
  std::vector<std::string> names;
  names.reserve(device.count());
  for (uint32_t i = 0; i < device.count(); ++i) names.push_back(absl::StrCat(device.name(), ":", i));
  return names;
}

int64_t DeviceCount(const proto::Cluster& cluster) {
  int64_t count = 0;
  for (const proto::ClusterDevice& device : cluster.devices()) count += std::max(1u, device.count());
  return count;
}

proto::Cluster ExpandCluster(const proto::Cluster& cluster) {
  proto::Cluster expanded = cluster;
  expanded.clear_devices();
  for (const proto::ClusterDevice& group : cluster.devices()) {
    for (const std::string& name : NamesOf(group)) {
      const int at = expanded.devices_size();
      proto::ClusterDevice* device = expanded.add_devices();
      *device = group;
      device->set_name(name);
      device->clear_count();
      if (!group.host().empty() || cluster.devices_per_host() == 0) continue;
      device->set_host(absl::StrCat("host ", at / cluster.devices_per_host()));
    }
  }
  return expanded;
}

}  // namespace millrace
