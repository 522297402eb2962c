// A rank's memory: one allocation of the size that the plan says, and the check that an address lies in it.
#ifndef RUNTIME_WORKER_ARENA_H_
#define RUNTIME_WORKER_ARENA_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/device.h"

namespace millrace {

class Arena {
 public:
  // RESOURCE_EXHAUSTED, with the numbers, when the device has not that much. `device` must outlive the arena.
  static absl::StatusOr<Arena> Make(Device* device, uint64_t bytes);
  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;
  ~Arena();

  Device* device() const { return device_; }
  uint64_t bytes() const { return bytes_; }
  char* base() const { return static_cast<char*>(buffer_.memory()); }
  // FAILED_PRECONDITION when the range ends outside the arena; `what` names it in the message.
  absl::StatusOr<char*> At(uint64_t offset, uint64_t bytes, absl::string_view what) const;

 private:
  Arena(Device* device, Buffer buffer, uint64_t bytes) : device_(device), buffer_(std::move(buffer)), bytes_(bytes) {}

  Device* device_;
  Buffer buffer_;
  uint64_t bytes_;
};

}  // namespace millrace

#endif  // RUNTIME_WORKER_ARENA_H_
