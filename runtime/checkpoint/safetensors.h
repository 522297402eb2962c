// The safetensors format: u64 header size N, N bytes of JSON, then the tensors' bytes.
#ifndef RUNTIME_CHECKPOINT_SAFETENSORS_H_
#define RUNTIME_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/data/regular_file.h"

namespace millrace {

// Writes all tensors, sorted by falling alignment and then by name, with a header padded by spaces to a multiple of 8.
// Atomic and durable: temporary file, fsync, rename, fsync of the folder. "format": "pt" is added to the metadata,
// without which Hugging Face's loader refuses a file.
absl::Status WriteSafetensors(const std::string& path, const TensorSource& tensors,
                              const std::map<std::string, std::string>& metadata = {});

struct SafetensorsLimits {
  uint64_t max_header_bytes = 16 << 20;  // the format itself allows 100,000,000
  uint64_t max_tensors = 1'000'000;
  int max_dims = 16;
  uint64_t max_name_bytes = 4096;
};

struct SafetensorsHeader {
  std::vector<NamedTensor> tensors;  // in the file's order of bytes
  std::vector<uint64_t> offsets;     // of each, from the start of the buffer
  std::map<std::string, std::string> metadata;
};

// Parses the JSON part of a file whose buffer has `buffer_bytes`. INVALID_ARGUMENT, beginning with `origin`, for
// anything the format forbids: duplicate keys, metadata that is not strings, sizes that are not whole numbers or
// overflow, ranges that do not fit their tensor, overlap, leave a hole or do not end where the file ends, element types
// we do not have.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json, uint64_t buffer_bytes,
                                                         absl::string_view origin,
                                                         const SafetensorsLimits& limits = {});

// A file that has passed all checks. Tensors are read by pread, never mapped. Any thread.
class SafetensorsFile : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(absl::string_view path,
                                                               const SafetensorsLimits& limits = {});

  const std::vector<NamedTensor>& tensors() const override { return header_.tensors; }
  absl::Status Read(int tensor, void* memory, uint64_t bytes) const override;
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  int Find(absl::string_view name) const;  // -1: there is none

 private:
  RegularFile file_;
  SafetensorsHeader header_;
  uint64_t buffer_ = 0;  // where it begins in the file
};

}  // namespace millrace

#endif  // RUNTIME_CHECKPOINT_SAFETENSORS_H_
