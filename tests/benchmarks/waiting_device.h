// A device whose kernels take their time without taking the processor, as those of an accelerator do.
#ifndef TESTS_BENCHMARKS_WAITING_DEVICE_H_
#define TESTS_BENCHMARKS_WAITING_DEVICE_H_

#include <memory>

#include "kernels/device.h"

namespace millrace {

// Kernels compute when they are first called; from then on they only wait as long as that took. Those of sums, norms
// and optimizers always compute: they belong to the end of a step.
std::unique_ptr<Device> MakeWaitingDevice(std::unique_ptr<Device> device);

}  // namespace millrace

#endif  // TESTS_BENCHMARKS_WAITING_DEVICE_H_
