// Linked instead of cuda.cc by a build without a CUDA toolkit (--//kernels:cuda=false).
#include "kernels/cuda/cuda.h"

namespace millrace {

bool CudaIsLinked() { return false; }

absl::StatusOr<std::unique_ptr<Device>> OpenCuda(const DeviceOptions&) {
  return absl::UnavailableError(
      "this program was built without CUDA: it has no kernels for GPUs. Install the CUDA toolkit 13 with cuBLAS and "
      "cuDNN 9 in /usr/local/cuda, or name its folder in CUDA_HOME, run tools/setup.sh, which finds it, and build "
      "again; "
      "or use the device kind 'cpu'");
}

int CudaDeviceCount() { return 0; }

std::string CudaLibraryVersions() { return ""; }

}  // namespace millrace
