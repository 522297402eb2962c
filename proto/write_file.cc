// Files in and out: bounded reads, atomic writes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

absl::Status WriteAll(int fd, absl::string_view bytes, absl::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return CannotWrite(n < 0 ? errno : ENOSPC,
                         absl::StrCat(path, ": cannot write the last ", bytes.size(), " bytes"));
    }
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(folder, ": cannot open the folder to make a rename durable"));
  const int failed = fsync(fd) != 0 ? errno : 0;
  close(fd);
  return failed != 0 ? CannotWrite(failed, absl::StrCat(folder, ": fsync")) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(absl::string_view path, uint64_t max_bytes) {
  const std::string name(path);
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return CannotRead(errno, absl::StrCat(path, ": cannot open"));
  absl::Cleanup closer = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return CannotRead(errno, absl::StrCat(path, ": cannot stat"));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, S_ISDIR(info.st_mode) ? ": is a folder; a file is needed here" : ": is not a regular file"));
  }
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", info.st_size, " bytes, more than the limit of ", max_bytes));
  }
  std::string bytes(info.st_size, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotRead(errno, absl::StrCat(path, ": cannot read"));
    if (n == 0) break;  // it shrank
    done += n;
  }
  bytes.resize(done);
  return bytes;
}

absl::Status WriteFileAtomically(absl::string_view path, absl::string_view bytes) {
  const std::string name(path);
  const std::string temp = absl::StrCat(path, ".tmp.", getpid());
  const int fd = open(temp.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(path, ": cannot create"));
  absl::Status status = WriteAll(fd, bytes, path);
  if (status.ok() && fsync(fd) != 0) status = CannotWrite(errno, absl::StrCat(path, ": fsync"));
  if (close(fd) != 0 && status.ok()) status = CannotWrite(errno, absl::StrCat(path, ": close"));
  if (status.ok() && rename(temp.c_str(), name.c_str()) != 0) {
    status = CannotWrite(errno, absl::StrCat(path, ": cannot rename the finished file into place"));
  }
  if (!status.ok()) {
    unlink(temp.c_str());
    return status;
  }
  return SyncFolderOf(name);
}

absl::Status WriteMessage(absl::string_view path, const google::protobuf::Message& message) {
  if (absl::EndsWith(path, "textproto") || absl::EndsWith(path, "pbtxt") || absl::EndsWith(path, ".txt")) {
    std::string text;
    if (!google::protobuf::TextFormat::PrintToString(message, &text)) {
      return absl::InternalError(absl::StrCat(path, ": cannot print the message as text"));
    }
    return WriteFileAtomically(path, text);
  }
  return WriteFileAtomically(path, CanonicalBytes(message));
}

}  // namespace millrace
