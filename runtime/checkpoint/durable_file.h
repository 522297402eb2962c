// Writing files and folders so that they are still there after a power cut.
#ifndef RUNTIME_CHECKPOINT_DURABLE_FILE_H_
#define RUNTIME_CHECKPOINT_DURABLE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/checkpoint/checksums.h"

namespace millrace {

// A new file that is written from the front. Hashes what it writes. A file that was not finished is removed.
class DurableFile {
 public:
  // ALREADY_EXISTS when there is one of that name.
  static absl::StatusOr<DurableFile> Create(std::string path);
  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&&) = delete;
  ~DurableFile();

  absl::Status Append(const void* memory, uint64_t bytes);
  // fsync and close.
  absl::Status Finish();

  uint64_t size() const { return size_; }
  std::string Sha256Bytes() { return sha256_.Finish(); }  // once, at the end

 private:
  DurableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  uint64_t size_ = 0;
  Sha256 sha256_;
};

absl::Status SyncFolder(const std::string& folder);
absl::Status MakeFolder(const std::string& folder);  // and its parents; one that exists is fine
// Removes the files in it, then the folder. Folders inside it are left alone, which fails.
absl::Status RemoveFolder(const std::string& folder);
// Atomic; a folder at `to` is exchanged and then removed.
absl::Status ReplaceFolder(const std::string& from, const std::string& to);

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_DURABLE_FILE_H_
