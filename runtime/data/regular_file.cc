#include "runtime/data/regular_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "proto/file_error.h"

namespace millrace {

RegularFile::~RegularFile() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<RegularFile> RegularFile::Open(absl::string_view path, bool follow_links) {
  RegularFile file;
  file.path_ = std::string(path);
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  file.fd_ = open(file.path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_links ? 0 : O_NOFOLLOW));
  if (file.fd_ < 0) return CannotRead(errno, absl::StrCat(path, ": cannot open"));
  struct stat facts;
  if (fstat(file.fd_, &facts) != 0) return CannotRead(errno, absl::StrCat(path, ": cannot stat"));
  if (!S_ISREG(facts.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, S_ISDIR(facts.st_mode) ? ": is a folder; a file is needed here" : ": is not a regular file"));
  }
  file.size_ = facts.st_size;
  return file;
}

absl::Status RegularFile::ReadAt(uint64_t offset, void* memory, uint64_t bytes) const {
  char* to = static_cast<char*>(memory);
  while (bytes > 0) {
    const ssize_t n = pread(fd_, to, std::min<uint64_t>(bytes, uint64_t{1} << 30), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CannotRead(errno, absl::StrCat(path_, ": cannot read at byte ", offset));
    if (n == 0) {
      return absl::DataLossError(
          absl::StrCat(path_, ": ends at byte ", offset, " though it had ", size_, " bytes when it was opened"));
    }
    to += n;
    offset += n;
    bytes -= n;
  }
  return absl::OkStatus();
}

bool IsFolder(absl::string_view path) {
  struct stat facts;
  return stat(std::string(path).c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool Exists(absl::string_view path) {
  struct stat facts;
  return lstat(std::string(path).c_str(), &facts) == 0;
}

absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path) {
  DIR* folder = opendir(std::string(path).c_str());
  if (folder == nullptr) return CannotRead(errno, absl::StrCat(path, ": cannot list the folder"));
  std::vector<std::string> names;
  while (const dirent* entry = readdir(folder)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace millrace
