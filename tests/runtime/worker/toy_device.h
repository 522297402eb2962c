// A device with the few operators of the toy plan, and with switches for what a real one may do: ask for scratch, fail.
// A Mul with the attribute packed=1 reads its second operand from a packed copy, where it is negated.
#ifndef TESTS_RUNTIME_WORKER_TOY_DEVICE_H_
#define TESTS_RUNTIME_WORKER_TOY_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/device.h"

namespace millrace {

struct ToyDeviceOptions {
  uint64_t scratch_bytes = 0;  // every kernel asks for these and writes them
  std::string failing_op;      // this operator fails from its `failing_run`-th run on (from 0)
  int failing_run = 0;
  bool empty_kernels = false;  // kernels do nothing: for benchmarks
};

class ToyDevice : public Device {
 public:
  explicit ToyDevice(const ToyDeviceOptions& options = {}) : options_(options) {}

  std::string kind() const override { return "toy"; }
  std::string name() const override { return "toy device"; }
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override;
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override;
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override;
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override;
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override;

  int kernels_made() const { return kernels_made_; }
  int packs_made() const { return packs_made_; }

 private:
  friend class ToyKernel;
  void Free(void* memory, uint64_t bytes) override;

  const ToyDeviceOptions options_;
  std::atomic<int> kernels_made_{0};
  std::atomic<int> packs_made_{0};
  std::atomic<int> failing_runs_{0};
};

}  // namespace millrace

#endif  // TESTS_RUNTIME_WORKER_TOY_DEVICE_H_
