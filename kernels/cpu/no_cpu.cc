// Linked instead of cpu.cc by a build without oneDNN and Highway (--//kernels:cpu=false).
#include "kernels/cpu/cpu.h"

namespace millrace {

bool CpuIsLinked() { return false; }

absl::StatusOr<std::unique_ptr<Device>> OpenCpu(const DeviceOptions&) {
  return absl::UnavailableError(
      "this program was built without the fast CPU backend; build with --//kernels:cpu=true, or use the device kind "
      "'reference'");
}

std::string CpuLibraryVersions() { return ""; }

}  // namespace millrace
