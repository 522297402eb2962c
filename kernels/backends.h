// Opens devices by the name of their backend. Which backends are in the program is decided at link time: each has
// an x.cc and a no_x.cc, and the build picks one (//kernels:cpu, //kernels:cuda).
#ifndef KERNELS_BACKENDS_H_
#define KERNELS_BACKENDS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"

namespace millrace {

// Kinds linked into this program, e.g. {"cpu", "reference"}.
std::vector<std::string> Backends();

// NOT_FOUND lists the kinds there are; UNAVAILABLE says why a known kind cannot be had here.
absl::StatusOr<std::unique_ptr<Device>> OpenDevice(absl::string_view kind, const DeviceOptions& options);

// How many devices of a kind this machine has: 1 of those that are the host itself, 0 where there are none.
int DeviceCount(absl::string_view kind);

// What decides how fast and with how much memory the kernels of a kind run, besides the device: the versions of the
// libraries behind them, for example "oneDNN 2.6.3". Empty for a kind without any, or one that is not linked.
std::string LibraryVersions(absl::string_view kind);

}  // namespace millrace

#endif  // KERNELS_BACKENDS_H_
