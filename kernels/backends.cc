#include "kernels/backends.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/cpu/cpu.h"
#include "kernels/reference/reference.h"

namespace millrace {

std::vector<std::string> Backends() {
  std::vector<std::string> kinds;
  if (CpuIsLinked()) kinds.push_back("cpu");
  kinds.push_back("reference");
  return kinds;
}

absl::StatusOr<std::unique_ptr<Device>> OpenDevice(absl::string_view kind, const DeviceOptions& options) {
  if (kind == "cpu") return OpenCpu(options);
  if (kind == "reference") return OpenReference(options);
  return absl::NotFoundError(
      absl::StrCat("there is no device kind '", kind, "' in this program; it has: ", absl::StrJoin(Backends(), ", ")));
}

std::string LibraryVersions(absl::string_view kind) { return kind == "cpu" ? CpuLibraryVersions() : ""; }

}  // namespace millrace
