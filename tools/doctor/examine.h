// What this process finds where it stands: its launcher, its cores, devices and transports. Gathered once, then shown as
// text or JSON.
#ifndef TOOLS_DOCTOR_EXAMINE_H_
#define TOOLS_DOCTOR_EXAMINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cores.h"
#include "runtime/launch/detect.h"

namespace millrace {

struct FoundDevice {
  std::string kind;       // "cpu"
  std::string name;       // the processor's
  std::string libraries;  // "oneDNN 2.6.3"
  std::string trouble;    // why it cannot be used; empty: it can
};

struct Transport {
  std::string name;
  std::string reaches;  // "threads of one process"
};

struct Examination {
  std::vector<LaunchFinding> findings;
  absl::StatusOr<LaunchContract> contract = LaunchContract();
  std::string chosen;  // MILLRACE_LAUNCH; empty: not set
  AllowedCores cores;
  int online = 0;  // processors of the machine
  std::string visible_devices;  // CUDA_VISIBLE_DEVICES as it is; empty: not set, or set to nothing
  std::vector<FoundDevice> devices;
  std::vector<Transport> transports;
};

Examination Examine(const LaunchEnvironment& environment);

// Those linked into this program.
std::vector<Transport> LinkedTransports();

}  // namespace millrace

#endif  // TOOLS_DOCTOR_EXAMINE_H_
