// A device whose kernels take their time without taking the processor, as those of an accelerator do.
#ifndef TESTS_BENCHMARKS_WAITING_DEVICE_H_
#define TESTS_BENCHMARKS_WAITING_DEVICE_H_

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kernels/device.h"

namespace millrace {

// How long kernels take: what they took at best, on any device, while they were still computing.
class KernelTimes {
 public:
  using Duration = std::chrono::steady_clock::duration;

  void Add(const std::string& key, Duration duration);
  Duration Of(const std::string& key) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Duration> best_;
};

// Kernels compute in their first calls; from then on they only wait as `times` say. Those of sums, norms and optimizers
// always compute: they belong to the end of a step. `times` must outlive the device.
std::unique_ptr<Device> MakeWaitingDevice(std::unique_ptr<Device> device, KernelTimes* times);

}  // namespace millrace

#endif  // TESTS_BENCHMARKS_WAITING_DEVICE_H_
