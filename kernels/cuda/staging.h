// Host memory to a device and back, whatever its streams do.
#ifndef KERNELS_CUDA_STAGING_H_
#define KERNELS_CUDA_STAGING_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/pinned_pieces.h"

namespace millrace::cuda {

// Thread-safe: one transfer at a time, on a stream of its own. Pieces are made at the first transfer.
class Staging {
 public:
  static constexpr uint64_t kPieceBytes = 4 << 20;

  explicit Staging(Target target) : target_(target), pieces_(target, 2, kPieceBytes) {}

  // Both return when done. Neither waits for work queued on other streams: the caller has seen that nothing writes
  // (CopyOut) or uses (CopyIn) this memory.
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes);
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes);
  absl::Status Zero(void* device_memory, uint64_t bytes);

 private:
  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  const Target target_;
  PinnedPieces pieces_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<CudaStream> stream_ ABSL_GUARDED_BY(mutex_);  // dies before the pieces
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_STAGING_H_
