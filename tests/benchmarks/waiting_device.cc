#include "tests/benchmarks/waiting_device.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "proto/status_macros.h"
#include "tests/parity/wrapped_device.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Shorter waits are saved up, since a thread that sleeps wakes some 60 us late.
constexpr auto kWorthSleeping = std::chrono::milliseconds(1);
constexpr int kCallsThatCompute = 3;

bool EndsSteps(const OpDesc& desc) {
  return desc.op == "Accumulate" || desc.op == "SquaredSums" || desc.op == "AdamW" || desc.op == "SgdMomentum";
}

class WaitingKernel : public Kernel {
 public:
  WaitingKernel(std::unique_ptr<Kernel> kernel, std::string key, KernelTimes* times,
                std::shared_ptr<Clock::duration> owed)
      : Kernel(kernel->needs()),
        kernel_(std::move(kernel)),
        key_(std::move(key)),
        times_(*times),
        owed_(std::move(owed)) {}

  absl::Status Pack(Stream& stream, const KernelArgs& args, void* packed) const override {
    return kernel_->Pack(stream, args, packed);
  }
  absl::Status Run(Stream& stream, const KernelArgs& args) const override {
    const auto start = Clock::now();
    if (computed_ < kCallsThatCompute) {
      ++computed_;
      MR_RETURN_IF_ERROR(kernel_->Run(stream, args));
      times_.Add(key_, Clock::now() - start);
      return absl::OkStatus();
    }
    *owed_ += times_.Of(key_);
    if (*owed_ < kWorthSleeping) return absl::OkStatus();
    std::this_thread::sleep_until(start + *owed_);
    *owed_ -= Clock::now() - start;
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<Kernel> kernel_;
  const std::string key_;
  KernelTimes& times_;
  mutable int computed_ = 0;
  const std::shared_ptr<Clock::duration> owed_;
};

}  // namespace

void KernelTimes::Add(const std::string& key, Duration duration) {
  std::lock_guard<std::mutex> lock(mutex_);
  Duration& best = best_.try_emplace(key, duration).first->second;
  best = std::min(best, duration);
}

KernelTimes::Duration KernelTimes::Of(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return best_.at(key);
}

std::unique_ptr<Device> MakeWaitingDevice(std::unique_ptr<Device> device, KernelTimes* times) {
  // What a device's kernels owe is counted by the rank's thread, which runs all of them.
  auto owed = std::make_shared<Clock::duration>(0);
  return WrapKernels(std::move(device), [times, owed](const OpDesc& desc, std::unique_ptr<Kernel> kernel) {
    if (EndsSteps(desc)) return kernel;
    return std::unique_ptr<Kernel>(std::make_unique<WaitingKernel>(std::move(kernel), desc.Key(), times, owed));
  });
}

}  // namespace millrace
