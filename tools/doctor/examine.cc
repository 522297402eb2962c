#include "tools/doctor/examine.h"

#include <unistd.h>

#include "kernels/backends.h"
#include "runtime/comm/mpi/mpi.h"
#include "runtime/comm/nccl/nccl.h"

namespace millrace {

std::vector<Transport> LinkedTransports() {
  std::vector<Transport> linked = {{"in_process", "ranks that are threads of one process"},
                                   {"gloo", "processes of one machine or many, over TCP"}};
  if (NcclIsLinked()) linked.push_back({"nccl", "processes with a GPU each, over NCCL, wherever they meet"});
  if (MpiIsLinked()) linked.push_back({"mpi", "processes that mpirun or srun started, over the MPI library"});
  return linked;
}

Examination Examine(const LaunchEnvironment& environment) {
  Examination examination;
  examination.findings = AskLaunchers(environment);
  examination.contract = WeighLaunchers(environment, examination.findings);
  if (const std::string* const chosen = environment.Find("MILLRACE_LAUNCH")) examination.chosen = *chosen;
  if (const std::string* const devices = environment.Find("CUDA_VISIBLE_DEVICES"))
    examination.visible_devices = *devices;
  examination.cores = FindAllowedCores(environment.root);
  examination.online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  for (const std::string& kind : Backends()) {
    FoundDevice& device = examination.devices.emplace_back();
    device.kind = kind;
    device.libraries = LibraryVersions(kind);
    const absl::StatusOr<std::unique_ptr<Device>> opened = OpenDevice(kind, {});
    if (opened.ok()) device.name = (*opened)->name();
    if (!opened.ok()) device.trouble = std::string(opened.status().message());
  }
  examination.transports = LinkedTransports();
  return examination;
}

}  // namespace millrace
