// Measures kernels of a device: bytes and floating-point operations per second of large calls.
#ifndef TOOLS_GPU_CHECK_FIGURES_H_
#define TOOLS_GPU_CHECK_FIGURES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "kernels/op_desc.h"
#include "tools/gpu_check/report.h"

namespace millrace {

struct Measured {
  std::string name;
  OpDesc desc;
  double flops = 0;  // of a call; 0: what counts is bytes
};

// Seconds of one call, from the middle of three runs of many calls, on random numbers in [-1, 1]; indices are 0.
absl::StatusOr<double> SecondsPerCall(Device& device, const OpDesc& desc);

// Bytes per second that a copy within the device reads and writes: the roof of what moves bytes.
absl::StatusOr<double> CopyBandwidth(Device& device);

// All that is measured. A figure of bytes stands beside the bandwidth of a copy, one of operations beside the largest
// product that was measured in its type. What a backend lacks is named with the reason.
std::vector<Figure> MeasureAll(Device& device);

// Large calls of every own kernel, and products and attention at the sizes of GPT-2 124M with 64 x 1024 tokens.
std::vector<Measured> WhatIsMeasured();

}  // namespace millrace

#endif  // TOOLS_GPU_CHECK_FIGURES_H_
