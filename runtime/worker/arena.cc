#include "runtime/worker/arena.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "runtime/worker/poison.h"

namespace millrace {

absl::StatusOr<Arena> Arena::Make(Device* device, uint64_t bytes) {
  absl::StatusOr<Buffer> buffer = device->Allocate(std::max<uint64_t>(bytes, 256));
  if (!buffer.ok()) {
    return absl::Status(buffer.status().code(),
                        absl::StrCat("arena of ", bytes, " bytes on ", device->name(), ": ", buffer.status().message(),
                                     "; use more stages or a smaller micro-batch"));
  }
  return Arena(device, *std::move(buffer), bytes);
}

Arena::~Arena() {
  if (buffer_.memory() != nullptr) UnpoisonMemory(buffer_.memory(), buffer_.bytes());
}

absl::StatusOr<char*> Arena::At(uint64_t offset, uint64_t bytes, absl::string_view what) const {
  if (offset > bytes_ || bytes > bytes_ - offset) {
    return absl::FailedPreconditionError(absl::StrCat(what, " takes ", bytes, " bytes at offset ", offset,
                                                      " of an arena of ", bytes_, ": the plan is broken; verify it"));
  }
  return base() + offset;
}

}  // namespace millrace
