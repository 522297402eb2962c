#include "kernels/cuda/cuda.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/cudnn_library.h"
#include "kernels/cuda/lt_library.h"
#include "kernels/cuda/lt_matmul.h"
#include "kernels/cuda/op_table.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

std::string Version(int number) { return absl::StrCat(number / 1000, ".", number % 1000 / 10); }

}  // namespace

bool CudaIsLinked() { return true; }

absl::StatusOr<std::unique_ptr<Device>> OpenCuda(const DeviceOptions& options) {
  cuda::CudaApi& api = cuda::RealCudaApi();
  cuda::Machine machine;
  MR_ASSIGN_OR_RETURN(machine.chip, cuda::FindChip(api, options.index));
  machine.tf32 = options.tf32;
  MR_ASSIGN_OR_RETURN(machine.matmuls, cuda::MakeLtMatMuls({&api, options.index}));
  if (options.cudnn) {
    MR_ASSIGN_OR_RETURN(machine.attention, cuda::MakeCudnnAttention({&api, options.index}));
  }
  return std::make_unique<cuda::CudaDevice>(api, std::move(machine), cuda::OpTable());
}

int CudaDeviceCount() {
  int count = 0;
  return cuda::RealCudaApi().DeviceCount(&count) == cuda::kSuccess ? count : 0;
}

std::string CudaLibraryVersions() {
  std::string versions = absl::StrCat("CUDA ", Version(cuda::RealCudaApi().RuntimeVersion()));
  // Loading takes a moment, which is wasted on a machine that cannot run them.
  if (cuda::RealCudaApi().DriverVersion() == 0) return versions;
  if (const auto cudnn = cuda::CudnnLibrary::Load(); cudnn.ok()) {
    absl::StrAppend(&versions, ", cuDNN ", (*cudnn)->Version());
  }
  if (const auto lt = cuda::LtLibrary::Load(); lt.ok()) absl::StrAppend(&versions, ", cuBLASLt ", (*lt)->Version());
  return versions;
}

}  // namespace millrace
