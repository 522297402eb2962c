#include "kernels/cuda/cuda_stream.h"

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_graph.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/pinned_pieces.h"
#include "proto/status_macros.h"

namespace millrace::cuda {

absl::Status Target::Enter() const { return Check(api->SetDevice(device), "choosing the device"); }

absl::Status Target::Check(Code code, absl::string_view what) const { return ToStatus(*api, code, device, what); }

absl::StatusOr<std::unique_ptr<CudaEvent>> CudaEvent::Make(Target target, bool timed) {
  MR_RETURN_IF_ERROR(target.Enter());
  EventHandle handle = nullptr;
  MR_RETURN_IF_ERROR(target.Check(target.api->EventCreate(&handle, timed), "making an event"));
  return std::unique_ptr<CudaEvent>(new CudaEvent(target, handle));
}

CudaEvent::~CudaEvent() { target_.api->EventDestroy(handle_); }

bool CudaEvent::Ready() const { return target_.api->EventQuery(handle_) != kNotReady; }

absl::Status CudaEvent::Wait() { return target_.Check(target_.api->EventSynchronize(handle_), "waiting for an event"); }

absl::StatusOr<double> CudaEvent::SecondsSince(const Event& earlier) const {
  float milliseconds = 0;
  const EventHandle start = static_cast<const CudaEvent&>(earlier).handle();
  MR_RETURN_IF_ERROR(target_.Check(target_.api->EventElapsed(&milliseconds, start, handle_), "reading an event's time"));
  return 1e-3 * static_cast<double>(milliseconds);
}

absl::StatusOr<std::unique_ptr<CudaStream>> CudaStream::Make(Target target, bool graphs) {
  MR_RETURN_IF_ERROR(target.Enter());
  StreamHandle handle = nullptr;
  MR_RETURN_IF_ERROR(target.Check(target.api->StreamCreate(&handle), "making a stream"));
  return std::unique_ptr<CudaStream>(new CudaStream(target, handle, graphs));
}

CudaStream::CudaStream(Target target, StreamHandle handle, bool graphs)
    : target_(target), handle_(handle), graphs_(graphs) {}

CudaStream::~CudaStream() {
  // The memory that queued work uses may be freed next.
  target_.api->StreamSynchronize(handle_);
  target_.api->StreamDestroy(handle_);
}

absl::Status CudaStream::Record(Event* event) {
  MR_RETURN_IF_ERROR(target_.Enter());
  return target_.Check(target_.api->EventRecord(static_cast<CudaEvent*>(event)->handle(), handle_),
                       "recording an event");
}

absl::Status CudaStream::WaitFor(Event* event) {
  MR_RETURN_IF_ERROR(target_.Enter());
  return target_.Check(target_.api->StreamWaitEvent(handle_, static_cast<CudaEvent*>(event)->handle()),
                       "making a stream wait for an event");
}

absl::Status CudaStream::Synchronize() {
  return target_.Check(target_.api->StreamSynchronize(handle_), "waiting for a stream");
}

absl::Status CudaStream::QueueCopy(void* to, const void* from, uint64_t bytes, CopyKind kind, absl::string_view what) {
  if (bytes == 0) return absl::OkStatus();
  MR_RETURN_IF_ERROR(target_.Enter());
  const Code code = target_.api->CopyAsync(to, from, bytes, kind, handle_);
  if (code == kSuccess) return absl::OkStatus();
  return target_.Check(code, absl::StrCat("copying ", bytes, " bytes ", what));
}

absl::Status CudaStream::Copy(void* to, const void* from, uint64_t bytes) {
  return QueueCopy(to, from, bytes, CopyKind::kDeviceToDevice, "within the device");
}

absl::Status CudaStream::CopyFromHost(void* to, const void* pinned, uint64_t bytes) {
  return QueueCopy(to, pinned, bytes, CopyKind::kHostToDevice, "to the device");
}

absl::Status CudaStream::CopyToHost(void* pinned, const void* from, uint64_t bytes) {
  return QueueCopy(pinned, from, bytes, CopyKind::kDeviceToHost, "from the device");
}

PinnedPieces& CudaStream::pieces() {
  if (pieces_ == nullptr) pieces_ = std::make_unique<PinnedPieces>(target_, kPieces, kPieceBytes);
  return *pieces_;
}

absl::Status CudaStream::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  return pieces().CopyIn(*this, device_memory, host, bytes);
}

absl::Status CudaStream::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  return pieces().CopyOut(*this, host, device_memory, bytes);
}

absl::StatusOr<std::unique_ptr<Recording>> CudaStream::Capture(absl::FunctionRef<absl::Status()> work) {
  if (!graphs_) return nullptr;
  return CudaGraph::Capture(*this, work);
}

absl::Status CudaStream::Launch(const Recording& recording) {
  return static_cast<const CudaGraph&>(recording).Launch(*this);
}

absl::Status CudaStream::Zero(void* to, uint64_t bytes) {
  if (bytes == 0) return absl::OkStatus();
  MR_RETURN_IF_ERROR(target_.Enter());
  return target_.Check(target_.api->SetAsync(to, 0, bytes, handle_), "zeroing memory");
}

}  // namespace millrace::cuda
