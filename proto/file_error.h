// Errors of the file system, marked with what was being done, so that whoever ends the program can tell a file that is
// missing from one that cannot be made and from a disk that failed.
#ifndef PROTO_FILE_ERROR_H_
#define PROTO_FILE_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

enum class FileFault {
  kNone,    // the status does not come from here
  kRead,    // missing, or may not be read
  kCreate,  // an output that cannot be made, or may not be
  kIo,      // the disk is full or failed
};

// The status of errno value `error`, with the mark; `message` says which file and what was tried. An error of the disk
// itself (no space, quota, input/output) is kIo in both.
absl::Status CannotRead(int error, absl::string_view message);
absl::Status CannotWrite(int error, absl::string_view message);

FileFault FileFaultOf(const absl::Status& status);

}  // namespace millrace

#endif  // PROTO_FILE_ERROR_H_
