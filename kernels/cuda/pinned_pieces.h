// Page-locked pieces of host memory that copies take turns in: the copy into one runs beside the transfers of the others.
#ifndef KERNELS_CUDA_PINNED_PIECES_H_
#define KERNELS_CUDA_PINNED_PIECES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cuda/cuda_stream.h"

namespace millrace::cuda {

// One thread at a time. Made at the first use. Streams that used them have ended before it dies.
class PinnedPieces {
 public:
  PinnedPieces(Target target, int count, uint64_t bytes) : target_(target), bytes_(bytes), pieces_(count) {}
  ~PinnedPieces();

  // Queued behind what `stream` holds; waits where all pieces are on their way. The bytes have been taken when it
  // returns.
  absl::Status CopyIn(CudaStream& stream, void* device_memory, const void* host, uint64_t bytes);
  // Behind what `stream` holds; returns when the bytes are there.
  absl::Status CopyOut(CudaStream& stream, void* host, const void* device_memory, uint64_t bytes);

 private:
  struct Piece {
    void* memory = nullptr;
    std::unique_ptr<CudaEvent> done;  // the last transfer from or into it
  };

  absl::Status Prepare();
  Piece& Next();

  const Target target_;
  const uint64_t bytes_;  // of each
  std::vector<Piece> pieces_;
  size_t turn_ = 0;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_PINNED_PIECES_H_
