#include "tools/submit/launchers.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace millrace {
namespace {

constexpr Launcher kLaunchers[] = {
    {"mpirun", false, EmitMpirun},    {"torchrun", false, EmitTorchrun},
    {"slurm", false, EmitSlurm},      {"kubernetes", true, EmitKubernetes},
    {"kubeflow", true, EmitKubeflow}, {"sagemaker", true, EmitSageMaker},
    {"ray", true, EmitRay},
};

}  // namespace

absl::Span<const Launcher> Launchers() { return kLaunchers; }

absl::StatusOr<Launcher> FindLauncher(absl::string_view name) {
  for (const Launcher& launcher : kLaunchers) {
    if (name == launcher.name) return launcher;
  }
  const auto names = absl::StrJoin(Launchers(), ", ", [](std::string* out, const Launcher& l) { out->append(l.name); });
  return absl::InvalidArgumentError(absl::StrCat("--launcher=", name, ": there are local, ", names));
}

}  // namespace millrace
