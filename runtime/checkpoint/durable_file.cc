#include "runtime/checkpoint/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "runtime/data/regular_file.h"

namespace millrace {

absl::StatusOr<DurableFile> DurableFile::Create(std::string path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(path, ": cannot create"));
  return DurableFile(std::move(path), fd);
}

DurableFile::DurableFile(DurableFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      sha256_(std::move(other.sha256_)) {}

DurableFile::~DurableFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());
}

absl::Status DurableFile::Append(const void* memory, uint64_t bytes) {
  sha256_.Update(memory, bytes);
  const char* from = static_cast<const char*>(memory);
  while (bytes > 0) {
    const ssize_t n = write(fd_, from, std::min<uint64_t>(bytes, uint64_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return CannotWrite(n < 0 ? errno : ENOSPC,
                         absl::StrCat(path_, ": cannot write ", bytes, " bytes after the first ", size_));
    }
    from += n;
    size_ += n;
    bytes -= n;
  }
  return absl::OkStatus();
}

absl::Status DurableFile::Finish() {
  if (fsync(fd_) != 0) return CannotWrite(errno, absl::StrCat(path_, ": fsync"));
  if (close(std::exchange(fd_, -1)) != 0) return CannotWrite(errno, absl::StrCat(path_, ": close"));
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(folder, ": cannot open the folder"));
  const int failed = fsync(fd) != 0 ? errno : 0;
  close(fd);
  return failed != 0 ? CannotWrite(failed, absl::StrCat(folder, ": fsync")) : absl::OkStatus();
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return CannotWrite(error.value(), absl::StrCat(folder, ": cannot make this folder"));
  return absl::OkStatus();
}

absl::Status RemoveFolder(const std::string& folder) {
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (unlink(path.c_str()) != 0) return CannotWrite(errno, absl::StrCat(path, ": cannot remove"));
  }
  if (rmdir(folder.c_str()) != 0) return CannotWrite(errno, absl::StrCat(folder, ": cannot remove"));
  return absl::OkStatus();
}

absl::Status ReplaceFolder(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return absl::OkStatus();
  if (errno == EEXIST) {
    if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return RemoveFolder(from);
  } else if (errno == EINVAL || errno == ENOSYS) {
    // A file system without the flag: the plain call refuses a folder that is not empty.
    if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  }
  return CannotWrite(errno, absl::StrCat(from, ": cannot rename to ", to));
}

}  // namespace millrace
