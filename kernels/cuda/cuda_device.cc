#include "kernels/cuda/cuda_device.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/op_rules.h"
#include "proto/status_macros.h"

namespace millrace::cuda {
namespace {

constexpr int kOldestMajor = 8;  // what third_party/bazel/cuda.bzl compiles for

std::string Version(int number) { return absl::StrCat(number / 1000, ".", number % 1000 / 10); }

std::string Describe(const Chip& chip) {
  return absl::StrFormat("%s, compute capability %d.%d, %d GiB", chip.name, chip.major, chip.minor,
                         chip.memory_bytes >> 30);
}

absl::Status WhyNone(CudaApi& api, Code code, int count) {
  const int driver = api.DriverVersion();
  if (driver == 0) {
    return absl::UnavailableError(
        absl::StrCat("no NVIDIA driver was found on this machine (libcuda.so.1): this program has CUDA ",
                     Version(api.RuntimeVersion()),
                     " kernels, but there is nothing to run them on. Install the driver, "
                     "or pass the GPU into the container (--gpus all), or use the device kind 'cpu'"));
  }
  if (code == kInsufficientDriver) {
    return absl::UnavailableError(absl::StrCat("the NVIDIA driver of this machine supports CUDA ", Version(driver),
                                               " and this program was built with CUDA ", Version(api.RuntimeVersion()),
                                               ": update the driver"));
  }
  if (code == kNoDevice || (code == kSuccess && count == 0)) {
    return absl::UnavailableError(
        "there is an NVIDIA driver but no GPU: look at nvidia-smi, and at CUDA_VISIBLE_DEVICES, which may hide them");
  }
  return absl::UnavailableError(absl::StrCat("looking for GPUs: ", api.ErrorName(code), ": ", api.ErrorText(code)));
}

}  // namespace

absl::StatusOr<Chip> FindChip(CudaApi& api, int index) {
  int count = 0;
  const Code code = api.DeviceCount(&count);
  if (code != kSuccess || count == 0) return WhyNone(api, code, count);
  std::vector<std::string> found;
  for (int i = 0; i < count; ++i) {
    Chip chip;
    MR_RETURN_IF_ERROR(ToStatus(api, api.Describe(i, &chip), i, "reading the device's properties"));
    found.push_back(absl::StrCat("cuda:", i, " (", Describe(chip), ")"));
    if (i != index) continue;
    if (chip.major >= kOldestMajor) return chip;
    return absl::UnavailableError(
        absl::StrCat(found.back(), " is too old: compute capability ", kOldestMajor, ".0 or newer is needed"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no device cuda:", index, "; this machine has ", absl::StrJoin(found, ", ")));
}

CudaDevice::CudaDevice(CudaApi& api, Machine machine, absl::Span<const OpFamily> families)
    : target_{&api, machine.chip.index}, machine_(std::move(machine)), families_(families), staging_(target_) {}

std::string CudaDevice::name() const { return Describe(machine_.chip); }

absl::StatusOr<uint64_t> CudaDevice::MemoryInUse() {
  MR_RETURN_IF_ERROR(target_.Enter());
  uint64_t free_bytes = 0, total_bytes = 0;
  MR_RETURN_IF_ERROR(target_.Check(target_.api->MemoryInfo(&free_bytes, &total_bytes), "reading how much is free"));
  return total_bytes - free_bytes;
}

absl::StatusOr<Buffer> CudaDevice::Allocate(uint64_t bytes) {
  if (bytes == 0) return Buffer();
  MR_RETURN_IF_ERROR(target_.Enter());
  void* memory = nullptr;
  const Code code = target_.api->Malloc(&memory, bytes);
  if (code == kOutOfMemory) {
    uint64_t free_bytes = 0, total_bytes = 0;
    target_.api->MemoryInfo(&free_bytes, &total_bytes);
    return absl::ResourceExhaustedError(
        absl::StrCat("cuda:", target_.device, " was asked for ", bytes, " bytes; ", free_bytes, " of ", total_bytes,
                     " are free: use a smaller micro-batch, more stages, recomputation or a sharded optimizer"));
  }
  MR_RETURN_IF_ERROR(target_.Check(code, absl::StrCat("allocating ", bytes, " bytes")));
  Buffer buffer(this, memory, bytes);
  MR_RETURN_IF_ERROR(staging_.Zero(memory, bytes));
  return buffer;
}

void CudaDevice::Free(void* memory, uint64_t) {
  // Waits for all work of the device, so nothing queued can still use the memory.
  if (target_.Enter().ok()) target_.api->Free(memory);
}

absl::StatusOr<std::unique_ptr<Stream>> CudaDevice::NewStream() { return CudaStream::Make(target_, machine_.graphs); }

absl::StatusOr<std::unique_ptr<Event>> CudaDevice::NewEvent() { return CudaEvent::Make(target_); }

absl::StatusOr<std::unique_ptr<Event>> CudaDevice::NewTimedEvent() { return CudaEvent::Make(target_, /*timed=*/true); }

absl::StatusOr<std::unique_ptr<Kernel>> CudaDevice::NewKernel(const OpDesc& desc) {
  MR_RETURN_IF_ERROR(CheckOp(desc));
  MR_RETURN_IF_ERROR(target_.Enter());
  const auto family =
      std::find_if(families_.begin(), families_.end(), [&](const OpFamily& f) { return f.op == desc.op; });
  if (family != families_.end()) return family->make(machine_, desc);
  return absl::UnimplementedError(absl::StrCat("the cuda backend has no kernel for operator '", desc.op, "'"));
}

absl::Status CudaDevice::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  return staging_.CopyIn(device_memory, host, bytes);
}

absl::Status CudaDevice::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  return staging_.CopyOut(host, device_memory, bytes);
}

}  // namespace millrace::cuda
