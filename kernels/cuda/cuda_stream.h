// CUDA's streams and events as ours. Work is queued and runs later, in the stream's order; a call that fails says what
// could not be queued, or what went wrong on the device before.
#ifndef KERNELS_CUDA_CUDA_STREAM_H_
#define KERNELS_CUDA_CUDA_STREAM_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cuda/cuda_api.h"
#include "kernels/device.h"

namespace millrace::cuda {

// The device that calls of one stream or event are for. Copied freely; the api outlives it.
struct Target {
  CudaApi* api = nullptr;
  int device = 0;

  // Makes the device current on the calling thread, which every CUDA call needs and every thread starts without.
  absl::Status Enter() const;
  absl::Status Check(Code code, absl::string_view what) const;
};

// An event that has not been recorded yet counts as ready.
class CudaEvent : public Event {
 public:
  static absl::StatusOr<std::unique_ptr<CudaEvent>> Make(Target target, bool timed = false);
  ~CudaEvent() override;

  // True after an error as well; Wait then reports it.
  bool Ready() const override;
  absl::Status Wait() override;
  absl::StatusOr<double> SecondsSince(const Event& earlier) const override;  // half a microsecond exact

  EventHandle handle() const { return handle_; }

 private:
  CudaEvent(Target target, EventHandle handle) : target_(target), handle_(handle) {}

  const Target target_;
  const EventHandle handle_;
};

class PinnedPieces;

// Does not wait for the default stream nor make it wait (cudaStreamNonBlocking): every order is an event.
class CudaStream : public Stream {
 public:
  // `graphs`: it captures; without, Capture says that there is no such thing.
  static absl::StatusOr<std::unique_ptr<CudaStream>> Make(Target target, bool graphs = true);
  ~CudaStream() override;  // waits for what is queued

  absl::Status Record(Event* event) override;
  absl::Status WaitFor(Event* event) override;
  absl::Status Synchronize() override;
  absl::Status Copy(void* to, const void* from, uint64_t bytes) override;
  absl::Status Zero(void* to, uint64_t bytes) override;
  // Through page-locked pieces, made when they are first used. CopyIn waits for the device only where more than
  // kPieces * kPieceBytes are on their way.
  absl::Status CopyIn(void* device_memory, const void* host, uint64_t bytes) override;
  absl::Status CopyOut(void* host, const void* device_memory, uint64_t bytes) override;
  // CUDA graphs (cuda_graph.h).
  absl::StatusOr<std::unique_ptr<Recording>> Capture(absl::FunctionRef<absl::Status()> work) override;
  absl::Status Launch(const Recording& recording) override;
  void* native() const override { return handle_; }

  // Queue only: page-locked host memory, which must stay until the work is done, to the device and back.
  absl::Status CopyFromHost(void* to, const void* pinned, uint64_t bytes);
  absl::Status CopyToHost(void* pinned, const void* from, uint64_t bytes);

  const Target& target() const { return target_; }
  StreamHandle handle() const { return handle_; }

 private:
  static constexpr int kPieces = 8;
  static constexpr uint64_t kPieceBytes = 1 << 20;

  CudaStream(Target target, StreamHandle handle, bool graphs);
  PinnedPieces& pieces();
  absl::Status QueueCopy(void* to, const void* from, uint64_t bytes, CopyKind kind, absl::string_view what);

  const Target target_;
  const StreamHandle handle_;
  const bool graphs_;
  std::unique_ptr<PinnedPieces> pieces_;
};

}  // namespace millrace::cuda

#endif  // KERNELS_CUDA_CUDA_STREAM_H_
