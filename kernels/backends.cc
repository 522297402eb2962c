#include "kernels/backends.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/cuda.h"
#include "kernels/reference/reference.h"

namespace millrace {

std::vector<std::string> Backends() {
  std::vector<std::string> kinds;
  if (CpuIsLinked()) kinds.push_back("cpu");
  if (CudaIsLinked()) kinds.push_back("cuda");
  kinds.push_back("reference");
  return kinds;
}

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(absl::string_view kind, const DeviceOptions& options) {
  if (kind == "cpu") return OpenCpu(options);
  if (kind == "cuda") return OpenCuda(options);
  if (kind == "reference") return OpenReference(options);
  return absl::NotFoundError(
      absl::StrCat("there is no device kind '", kind, "' in this program; it has: ", absl::StrJoin(Backends(), ", ")));
}

int DeviceCount(absl::string_view kind) {
  if (kind == "cuda") return CudaDeviceCount();
  return kind == "reference" || (kind == "cpu" && CpuIsLinked()) ? 1 : 0;
}

std::string LibraryVersions(absl::string_view kind) {
  if (kind == "cpu") return CpuLibraryVersions();
  return kind == "cuda" ? CudaLibraryVersions() : "";
}

}  // namespace millrace
