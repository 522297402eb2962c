// Host memory to a device and back through page-locked pieces: the copy into one piece runs beside the transfer of the
// other.
#ifndef KERNELS_CUDA_STAGING_H_
#define KERNELS_CUDA_STAGING_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kernels/cuda/cuda_stream.h"

namespace millrace::cuda {

// Thread-safe: one transfer at a time, on a stream of its own. Pieces are made at the first transfer.
class Staging {
 public:
  static constexpr uint64_t kPieceBytes = 4 << 20;

  explicit Staging(Target target) : target_(target) {}
  ~Staging();

  // Both return when done. Neither waits for work queued on other streams: the caller has seen that nothing writes
  // (CopyOut) or uses (CopyIn) this memory.
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes);
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes);
  absl::Status Zero(void* device_memory, uint64_t bytes);

 private:
  struct Piece {
    void* memory = nullptr;
    std::unique_ptr<CudaEvent> done;  // the last transfer from or into it
  };

  absl::Status Prepare() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Target target_;
  absl::Mutex mutex_;
  std::unique_ptr<CudaStream> stream_ ABSL_GUARDED_BY(mutex_);
  std::array<Piece, 2> pieces_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_STAGING_H_
