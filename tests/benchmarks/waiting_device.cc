#include "tests/benchmarks/waiting_device.h"

#include <chrono>
#include <thread>
#include <utility>

#include "proto/status_macros.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Shorter waits are saved up, since a thread that sleeps wakes some 60 us late.
constexpr auto kWorthSleeping = std::chrono::milliseconds(1);

bool EndsSteps(const OpDesc& desc) {
  return desc.op == "Accumulate" || desc.op == "SquaredSums" || desc.op == "AdamW" || desc.op == "SgdMomentum";
}

class WaitingKernel : public Kernel {
 public:
  WaitingKernel(std::unique_ptr<Kernel> kernel, Clock::duration* owed)
      : Kernel(kernel->needs()), kernel_(std::move(kernel)), owed_(*owed) {}

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    return kernel_->Pack(stream, args, packed);
  }
  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const auto start = Clock::now();
    if (seconds_ == Clock::duration::zero()) {
      MR_RETURN_IF_ERROR(kernel_->Run(stream, args));
      seconds_ = Clock::now() - start;
      return absl::OkStatus();
    }
    owed_ += seconds_;
    if (owed_ < kWorthSleeping) return absl::OkStatus();
    std::this_thread::sleep_until(start + owed_);
    owed_ -= Clock::now() - start;
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<Kernel> kernel_;
  mutable Clock::duration seconds_{};
  Clock::duration& owed_;
};

class WaitingDevice : public Device {
 public:
  explicit WaitingDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}

  std::string kind() const override { return device_->kind(); }
  std::string name() const override { return device_->name(); }
  absl::StatusOr<Buffer> Allocate(uint64_t bytes) override { return device_->Allocate(bytes); }
  absl::StatusOr<std::unique_ptr<Stream>> NewStream() override { return device_->NewStream(); }
  absl::StatusOr<std::unique_ptr<Event>> NewEvent() override { return device_->NewEvent(); }
  absl::StatusOr<std::unique_ptr<Kernel>> NewKernel(const OpDesc& desc) override {
    MR_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, device_->NewKernel(desc));
    if (EndsSteps(desc)) return kernel;
    return std::make_unique<WaitingKernel>(std::move(kernel), &owed_);
  }
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override {
    return device_->CopyIn(device_memory, host, bytes);
  }
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override {
    return device_->CopyOut(host, device_memory, bytes);
  }

 private:
  void Free(void*, uint64_t) override {}  // buffers belong to the device inside

  const std::unique_ptr<Device> device_;
  Clock::duration owed_{};  // by the rank's thread, which runs all kernels
};

}  // namespace

std::unique_ptr<Device> MakeWaitingDevice(std::unique_ptr<Device> device) {
  return std::make_unique<WaitingDevice>(std::move(device));
}

}  // namespace millrace
