#include "kernels/cuda/staging.h"

#include "proto/status_macros.h"

namespace millrace::cuda {

absl::Status Staging::Prepare() {
  MR_RETURN_IF_ERROR(target_.Enter());
  if (stream_ != nullptr) return absl::OkStatus();
  MR_ASSIGN_OR_RETURN(stream_, CudaStream::Make(target_));
  return absl::OkStatus();
}

absl::Status Staging::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  MR_RETURN_IF_ERROR(pieces_.CopyIn(*stream_, device_memory, host, bytes));
  return stream_->Synchronize();
}

absl::Status Staging::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  return pieces_.CopyOut(*stream_, host, device_memory, bytes);
}

absl::Status Staging::Zero(void* device_memory, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  MR_RETURN_IF_ERROR(stream_->Zero(device_memory, bytes));
  return stream_->Synchronize();
}

}  // namespace millrace::cuda
