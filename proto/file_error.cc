#include "proto/file_error.h"

#include <cerrno>

#include "absl/strings/cord.h"

namespace millrace {
namespace {

constexpr absl::string_view kPayload = "millrace.file";
constexpr absl::string_view kMarks[] = {"", "read", "create", "io"};

absl::Status Marked(int error, absl::string_view message, FileFault fault) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO) fault = FileFault::kIo;
  absl::Status status = absl::ErrnoToStatus(error, message);
  status.SetPayload(kPayload, absl::Cord(kMarks[static_cast<int>(fault)]));
  return status;
}

}  // namespace

absl::Status CannotRead(int error, absl::string_view message) { return Marked(error, message, FileFault::kRead); }

absl::Status CannotWrite(int error, absl::string_view message) { return Marked(error, message, FileFault::kCreate); }

FileFault FileFaultOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  for (FileFault fault : {FileFault::kRead, FileFault::kCreate, FileFault::kIo}) {
    if (payload.has_value() && *payload == kMarks[static_cast<int>(fault)]) return fault;
  }
  return FileFault::kNone;
}

}  // namespace millrace
