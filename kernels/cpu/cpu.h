// The fast CPU backend: oneDNN for matrix multiplication, Highway for the rest.
#ifndef KERNELS_CPU_CPU_H_
#define KERNELS_CPU_CPU_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/device.h"

namespace millrace {

// False when the build chose no_cpu.cc.
bool CpuIsLinked();
// UNAVAILABLE when not linked.
absl::StatusOr<std::unique_ptr<Device>> OpenCpu(const DeviceOptions& options);

// Of the libraries behind the kernels; empty when not linked.
std::string CpuLibraryVersions();

}  // namespace millrace

#endif  // KERNELS_CPU_CPU_H_
