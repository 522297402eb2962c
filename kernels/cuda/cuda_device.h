// One GPU as a Device.
#ifndef KERNELS_CUDA_CUDA_DEVICE_H_
#define KERNELS_CUDA_CUDA_DEVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/machine.h"
#include "kernels/cuda/staging.h"
#include "kernels/device.h"

namespace millrace::cuda {

// Memory is one cudaMalloc per Buffer: the runtime asks for one arena per rank, and nothing during a step.
// Thread-safe. Streams, events, graphs, buffers and kernels die before it.
class CudaDevice : public Device {
 public:
  // `machine` describes the GPU of machine.chip.index; `families` and what machine points to outlive the device.
  CudaDevice(CudaApi& api, Machine machine, absl::Span<const OpFamily> families);

  std::string kind() const override { return "cuda"; }
  std::string name() const override;  // "NVIDIA H200, compute capability 9.0, 139 GiB"
  bool memory_is_hosts() const override { return false; }
  absl::StatusOr<uint64_t> MemoryInUse() override;  // as the driver says
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override;
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override;
  absl::StatusOr<std::unique_ptr<Event>> NewTimedEvent() override;
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override;
  // Through page-locked memory. They do not wait for work queued on streams: synchronise first.
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override;
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override;

  const Machine& machine() const { return machine_; }

 private:
  void Free(void* memory, uint64_t bytes) override;

  const Target target_;
  const Machine machine_;
  const absl::Span<const OpFamily> families_;
  Staging staging_;
};

// The GPU of this index. UNAVAILABLE when there is no driver, no GPU, or none that this program has code for;
// INVALID_ARGUMENT lists the GPUs there are when the index is not among them.
absl::StatusOr<Chip> FindChip(CudaApi& api, int index);

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_DEVICE_H_
