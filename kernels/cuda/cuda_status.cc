#include "kernels/cuda/cuda_status.h"

#include "absl/strings/str_cat.h"

namespace millrace::cuda {
namespace {

// Numbers at which a kernel that ran before has broken the device's context (driver_types.h).
bool IsFromKernel(Code code) {
  constexpr Code kFirst = 700, kLast = 720;  // cudaErrorIllegalAddress ... cudaErrorLaunchFailure and kin
  return code >= kFirst && code < kLast;
}

}  // namespace

absl::Status ToStatus(CudaApi& api, Code code, int device, absl::string_view what) {
  if (code == kSuccess) return absl::OkStatus();
  const std::string message =
      absl::StrCat("cuda:", device, ": ", what, ": ", api.ErrorName(code), ": ", api.ErrorText(code));
  if (code == kOutOfMemory) return absl::ResourceExhaustedError(message);
  if (code == kNoDevice || code == kInsufficientDriver) return absl::UnavailableError(message);
  if (IsFromKernel(code)) {
    return absl::InternalError(absl::StrCat(message,
                                            ". A kernel launched earlier failed, not necessarily this call; run with "
                                            "CUDA_LAUNCH_BLOCKING=1, or under compute-sanitizer, to find which"));
  }
  return absl::InternalError(message);
}

}  // namespace millrace::cuda
