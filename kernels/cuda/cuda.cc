#include "kernels/cuda/cuda.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/families.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr cuda::OpFamily kFamilies[] = {
    // unary.cc, binary.cc
    {"Identity", cuda::NewCopy},
    {"Neg", cuda::NewUnary},
    {"Relu", cuda::NewUnary},
    {"Tanh", cuda::NewUnary},
    {"Sigmoid", cuda::NewUnary},
    {"Silu", cuda::NewUnary},
    {"Gelu", cuda::NewUnary},
    {"ReluGrad", cuda::NewUnary},
    {"SiluGrad", cuda::NewUnary},
    {"GeluGrad", cuda::NewUnary},
    {"TanhGrad", cuda::NewUnary},
    {"SigmoidGrad", cuda::NewUnary},
    {"Add", cuda::NewBinary},
    {"Sub", cuda::NewBinary},
    {"Mul", cuda::NewBinary},
    {"Div", cuda::NewBinary},
    // copies
    {"Reshape", cuda::NewCopy},
};

std::string Version(int number) { return absl::StrCat(number / 1000, ".", number % 1000 / 10); }

}  // namespace

bool CudaIsLinked() { return true; }

absl::StatusOr<std::unique_ptr<Device>> OpenCuda(const DeviceOptions& options) {
  cuda::CudaApi& api = cuda::RealCudaApi();
  cuda::Machine machine;
  MR_ASSIGN_OR_RETURN(machine.chip, cuda::FindChip(api, options.index));
  return std::make_unique<cuda::CudaDevice>(api, std::move(machine), kFamilies);
}

std::string CudaLibraryVersions() { return absl::StrCat("CUDA ", Version(cuda::RealCudaApi().RuntimeVersion())); }

}  // namespace millrace
