// A file open for reading at any place, by pread: a file that shrinks under the reader is an error, not a signal.
#ifndef RUNTIME_DATA_REGULAR_FILE_H_
#define RUNTIME_DATA_REGULAR_FILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// Owns the descriptor. Reading from several threads is safe.
class RegularFile {
 public:
  RegularFile() = default;
  RegularFile(RegularFile&& other) noexcept { *this = std::move(other); }
  RegularFile& operator=(RegularFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(size_, other.size_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~RegularFile();

  // INVALID_ARGUMENT for a folder, pipe or device. `follow_links` false also refuses a symbolic link as the last part.
  static absl::StatusOr<RegularFile> Open(absl::string_view path, bool follow_links = true);

  // Exactly [offset, offset + bytes); DATA_LOSS when the file has become shorter than it was when opened.
  absl::Status ReadAt(uint64_t offset, void* memory, uint64_t bytes) const;
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  int fd_ = -1;
  uint64_t size_ = 0;
  std::string path_;
};

bool IsFolder(absl::string_view path);
bool Exists(absl::string_view path);  // a dangling link exists too
// Names of a folder's entries, sorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListFolder(absl::string_view path);

}  // namespace millrace

#endif  // RUNTIME_DATA_REGULAR_FILE_H_
