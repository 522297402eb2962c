#include "kernels/device.h"

#include "absl/status/status.h"

namespace millrace {

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    if (memory_ != nullptr) device_->Free(memory_, bytes_);
    device_ = std::exchange(other.device_, nullptr);
    memory_ = std::exchange(other.memory_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Buffer::~Buffer() {
  if (memory_ != nullptr) device_->Free(memory_, bytes_);
}

absl::StatusOr<double> Event::SecondsSince(const Event&) const {
  return absl::FailedPreconditionError("this event notes no time");
}

// The device's memory is the host's.
absl::Status Stream::CopyIn(void* device_memory, const void* host, uint64_t bytes) {
  return Copy(device_memory, host, bytes);
}

absl::Status Stream::CopyOut(void* host, const void* device_memory, uint64_t bytes) {
  absl::Status status = Copy(host, device_memory, bytes);
  if (status.ok()) status = Synchronize();
  return status;
}

absl::StatusOr<std::unique_ptr<Recording>> Stream::Capture(absl::FunctionRef<absl::Status()>) { return nullptr; }

absl::Status Stream::Launch(const Recording&) { return absl::InternalError("this device records nothing"); }

absl::StatusOr<uint64_t> Device::MemoryInUse() {
  return absl::UnimplementedError("the device has no memory of its own");
}

absl::Status Kernel::Pack(Stream&, const KernelArgs&, void*) const {
  return absl::InternalError("this kernel packs nothing");
}

}  // namespace millrace
