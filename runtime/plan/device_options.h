// How a plan's devices are opened.
#ifndef RUNTIME_PLAN_DEVICE_OPTIONS_H_
#define RUNTIME_PLAN_DEVICE_OPTIONS_H_

#include "kernels/device.h"
#include "proto/plan.pb.h"

namespace millrace {

// Everything but the index and the threads, which are the place's.
inline DeviceOptions DeviceOptionsOf(const proto::DeviceSettings& settings) {
  DeviceOptions options;
  options.tf32 = settings.tf32();
  options.cudnn = settings.cudnn();
  return options;
}

}  // namespace millrace

#endif  // RUNTIME_PLAN_DEVICE_OPTIONS_H_
