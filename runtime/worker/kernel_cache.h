// Kernels of one rank, prepared once each.
#ifndef RUNTIME_WORKER_KERNEL_CACHE_H_
#define RUNTIME_WORKER_KERNEL_CACHE_H_

#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace {

// Calls with equal OpDesc::Key() share one kernel. The device must outlive the cache.
class KernelCache {
 public:
  explicit KernelCache(Device* device) : device_(device) {}

  absl::StatusOr<const Kernel*> Get(const OpDesc& desc) {
    std::unique_ptr<Kernel>& kernel = kernels_[desc.Key()];
    if (kernel == nullptr) {
      absl::StatusOr<std::unique_ptr<Kernel>> made = device_->NewKernel(desc);
      if (!made.ok()) return made.status();
      kernel = *std::move(made);
    }
    return kernel.get();
  }

 private:
  Device* device_;
  absl::flat_hash_map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_KERNEL_CACHE_H_
