// Token ids in memory as a file holds them, one after the other, and what is asked of every stream of them.
#ifndef RUNTIME_DATA_TOKEN_STREAM_H_
#define RUNTIME_DATA_TOKEN_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace millrace {

// No token stream may take more memory than this.
inline constexpr uint64_t kMaxTokenBytes = uint64_t{8} << 30;

// Little-endian unsigned ids of `width` (1, 2 or 4) bytes. Immutable once read; sources share it.
struct TokenStream {
  std::string format;  // "text", "nanogpt", "llmc"
  std::string origin;  // path, for messages
  std::string how;     // how the format was chosen: "--data-format", "magic 20240520", ...
  int width = 1;
  uint64_t size = 0;  // tokens
  std::unique_ptr<uint8_t[]> bytes;
  std::string digest;  // SHA-256 of bytes, hexadecimal
  uint32_t largest = 0;

  // Writes `count` ids from `first` on as I64. The range must be inside the stream.
  void Widen(uint64_t first, uint64_t count, int64_t* ids) const;
};

// Fills `digest` and `largest`, scanning all ids once. INVALID_ARGUMENT names the first id that is not below
// `vocabulary` (0: any) and its position.
absl::Status ScanTokens(int64_t vocabulary, TokenStream* tokens);

// "guessed nanogpt because ...; say --data-format=text, nanogpt, llmc or synthetic if that is wrong": what every
// message about a token file ends with.
std::string FormatNote(absl::string_view format, absl::string_view how);

}  // namespace millrace

#endif  // RUNTIME_DATA_TOKEN_STREAM_H_
