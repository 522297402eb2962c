#include "partitioner/local.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "kernels/cores.h"
#include "proto/status_macros.h"
#include "runtime/plan/device_options.h"

namespace millrace {

proto::Cluster LocalCluster(absl::string_view kind, int count) {
  const int64_t cores = FindAllowedCores("").cores;
  proto::Cluster cluster;
  cluster.set_schema_version(1);
  cluster.set_name("this machine");
  for (int i = 0; i < count; ++i) {
    proto::ClusterDevice* device = cluster.add_devices();
    device->set_name(absl::StrCat(kind, ":", i));
    device->set_kind(std::string(kind));
    device->set_threads(static_cast<uint32_t>(std::max<int64_t>(1, cores / count)));
    if (count < 2) continue;
    device->set_shares("cores");
    device->set_shared_cores(static_cast<uint32_t>(cores));
  }
  return cluster;
}

absl::StatusOr<KernelNeedsFn> NeedsOf(absl::string_view device_kind, const proto::DeviceSettings& settings) {
  MR_ASSIGN_OR_RETURN(std::unique_ptr<Device> opened, OpenDevice(device_kind, DeviceOptionsOf(settings)));
  return KernelNeedsFn(
      [device = std::shared_ptr<Device>(std::move(opened))](const OpDesc& desc) -> absl::StatusOr<KernelNeeds> {
        MR_ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, device->NewKernel(desc));
        return kernel->needs();
      });
}

}  // namespace millrace
