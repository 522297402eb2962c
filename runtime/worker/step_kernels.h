// Kernels beyond the calls of the stages, and the memory that they take beyond the arena: the optimizer's numbers, sums
// of blocks, scratch.
#ifndef RUNTIME_WORKER_STEP_KERNELS_H_
#define RUNTIME_WORKER_STEP_KERNELS_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/worker/kernel_cache.h"

namespace millrace {

// Kernels are asked for first, then memory is allocated for the one that needs most; one runs at a time.
class StepKernels {
 public:
  explicit StepKernels(KernelCache* kernels) : kernels_(kernels) {}

  absl::StatusOr<const Kernel*> Get(const OpDesc& desc);
  // Room for so many more block sums: their offset from `sums`.
  uint64_t TakeSums(uint64_t blocks);
  absl::Status Allocate(Device* device);

  absl::Status Run(Stream& stream, const Kernel& kernel, void* const* inputs, void* const* outputs) const;

  char* hyper() const { return hyper_; }
  char* sums() const { return sums_; }
  uint64_t sums_bytes() const { return sums_bytes_; }

 private:
  KernelCache* const kernels_;
  uint64_t most_scratch_ = 0, sums_bytes_ = 0;
  Buffer side_;
  char *hyper_ = nullptr, *sums_ = nullptr, *scratch_ = nullptr;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_STEP_KERNELS_H_
