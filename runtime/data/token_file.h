// Files of token ids: nanoGPT's headerless uint16 and llm.c's shards with a header of 256 int32.
#ifndef RUNTIME_DATA_TOKEN_FILE_H_
#define RUNTIME_DATA_TOKEN_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/data/token_stream.h"

namespace millrace {

inline constexpr uint32_t kGpt2Magic = 20240520;    // llm.c, version 1, uint16
inline constexpr uint32_t kLlama3Magic = 20240801;  // llm.c, version 7, uint32
inline constexpr uint64_t kLlmcHeaderBytes = 1024;

struct FormatGuess {
  std::string format;  // "text", "nanogpt", "llmc"
  std::string how;     // why: "magic 20240520 of llm.c", "the name ends in .bin", "the content is UTF-8"
};

// Tells the format from the first bytes and the name. INVALID_ARGUMENT when neither decides.
absl::StatusOr<FormatGuess> GuessFormat(absl::string_view path);

// Reads `paths` in order as one stream; all must be of `guess.format` ("nanogpt" or "llmc") and of one width.
// INVALID_ARGUMENT for an empty file, an odd length, a wrong magic, version or count. Not yet scanned.
absl::StatusOr<TokenStream> ReadTokenFiles(const std::vector<std::string>& paths, const FormatGuess& guess);

}  // namespace millrace

#endif  // RUNTIME_DATA_TOKEN_FILE_H_
