#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "proto/status_macros.h"

namespace millrace::cuda {

Staging::~Staging() {
  stream_.reset();  // waits
  for (Piece& piece : pieces_) {
    if (piece.memory != nullptr) target_.api->FreeHost(piece.memory);
  }
}

absl::Status Staging::Prepare() {
  MR_RETURN_IF_ERROR(target_.Enter());
  if (stream_ == nullptr) {
    MR_ASSIGN_OR_RETURN(stream_, CudaStream::Make(target_));
  }
  for (Piece& piece : pieces_) {
    if (piece.memory == nullptr) {
      MR_RETURN_IF_ERROR(
          target_.Check(target_.api->MallocHost(&piece.memory, kPieceBytes), "allocating page-locked host memory"));
    }
    if (piece.done == nullptr) {
      MR_ASSIGN_OR_RETURN(piece.done, CudaEvent::Make(target_));
    }
  }
  return absl::OkStatus();
}

absl::Status Staging::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  int turn = 0;
  for (uint64_t at = 0; at < bytes; at += kPieceBytes, turn ^= 1) {
    Piece& piece = pieces_[turn];
    const uint64_t size = std::min(kPieceBytes, bytes - at);
    MR_RETURN_IF_ERROR(piece.done->Wait());
    std::memcpy(piece.memory, static_cast<const char*>(host) + at, size);
    MR_RETURN_IF_ERROR(stream_->CopyFromHost(static_cast<char*>(device_memory) + at, piece.memory, size));
    MR_RETURN_IF_ERROR(stream_->Record(piece.done.get()));
  }
  return stream_->Synchronize();
}

absl::Status Staging::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  const auto queue = [&](uint64_t at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
    Piece& piece = pieces_[at / kPieceBytes % 2];
    MR_RETURN_IF_ERROR(stream_->CopyToHost(piece.memory, static_cast<const char*>(device_memory) + at,
                                           std::min(kPieceBytes, bytes - at)));
    return stream_->Record(piece.done.get());
  };
  MR_RETURN_IF_ERROR(queue(0));
  for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
    if (at + kPieceBytes < bytes) MR_RETURN_IF_ERROR(queue(at + kPieceBytes));
    Piece& piece = pieces_[at / kPieceBytes % 2];
    MR_RETURN_IF_ERROR(piece.done->Wait());
    std::memcpy(static_cast<char*>(host) + at, piece.memory, std::min(kPieceBytes, bytes - at));
  }
  return absl::OkStatus();
}

absl::Status Staging::Zero(void* device_memory, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  MR_RETURN_IF_ERROR(Prepare());
  MR_RETURN_IF_ERROR(stream_->Zero(device_memory, bytes));
  return stream_->Synchronize();
}

}  // namespace millrace::cuda
