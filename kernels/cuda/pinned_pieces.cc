#include "kernels/cuda/pinned_pieces.h"

#include <algorithm>
#include <cstring>

#include "proto/status_macros.h"

namespace millrace::cuda {

PinnedPieces::~PinnedPieces() {
  for (Piece& piece : pieces_) {
    if (piece.memory != nullptr) target_.api->FreeHost(piece.memory);
  }
}

absl::Status PinnedPieces::Prepare() {
  MR_RETURN_IF_ERROR(target_.Enter());
  for (Piece& piece : pieces_) {
    if (piece.memory == nullptr) {
      MR_RETURN_IF_ERROR(
          target_.Check(target_.api->MallocHost(&piece.memory, bytes_), "allocating page-locked host memory"));
    }
    if (piece.done == nullptr) {
      MR_ASSIGN_OR_RETURN(piece.done, CudaEvent::Make(target_));
    }
  }
  return absl::OkStatus();
}

PinnedPieces::Piece& PinnedPieces::Next() {
  Piece& piece = pieces_[turn_];
  turn_ = (turn_ + 1) % pieces_.size();
  return piece;
}

absl::Status PinnedPieces::CopyIn(CudaStream& stream, void* device_memory, const void* host, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  MR_RETURN_IF_ERROR(Prepare());
  for (uint64_t at = 0; at < bytes; at += bytes_) {
    Piece& piece = Next();
    const uint64_t size = std::min(bytes_, bytes - at);
    MR_RETURN_IF_ERROR(piece.done->Wait());
    std::memcpy(piece.memory, static_cast<const char*>(host) + at, size);
    MR_RETURN_IF_ERROR(stream.CopyFromHost(static_cast<char*>(device_memory) + at, piece.memory, size));
    MR_RETURN_IF_ERROR(stream.Record(piece.done.get()));
  }
  return absl::OkStatus();
}

// The transfer of the next piece runs beside the host's copy of this one.
absl::Status PinnedPieces::CopyOut(CudaStream& stream, void* host, const void* device_memory, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  MR_RETURN_IF_ERROR(Prepare());
  const auto queue = [&](uint64_t at) -> absl::StatusOr<Piece*> {
    Piece& piece = Next();
    MR_RETURN_IF_ERROR(piece.done->Wait());
    MR_RETURN_IF_ERROR(stream.CopyToHost(piece.memory, static_cast<const char*>(device_memory) + at,
                                         std::min(bytes_, bytes - at)));
    MR_RETURN_IF_ERROR(stream.Record(piece.done.get()));
    return &piece;
  };
  MR_ASSIGN_OR_RETURN(Piece * next, queue(0));
  for (uint64_t at = 0; at < bytes; at += bytes_) {
    Piece* const piece = next;
    if (at + bytes_ < bytes) {
      MR_ASSIGN_OR_RETURN(next, queue(at + bytes_));
    }
    MR_RETURN_IF_ERROR(piece->done->Wait());
    std::memcpy(static_cast<char*>(host) + at, piece->memory, std::min(bytes_, bytes - at));
  }
  return absl::OkStatus();
}

}  // namespace millrace::cuda
