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

absl::Status Kernel::Pack(Stream&, const KernelArgs&, void*) const {
  return absl::InternalError("this kernel packs nothing");
}

}  // namespace millrace
