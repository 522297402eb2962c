// UTF-8 text as bytes: the vocabulary that needs no tokenizer.
#ifndef RUNTIME_DATA_TEXT_H_
#define RUNTIME_DATA_TEXT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/data/token_stream.h"

namespace millrace {

inline constexpr int64_t kByteVocabulary = 256;

// Every byte of the file is a token; no content is refused. Not yet scanned.
absl::StatusOr<TokenStream> ReadText(absl::string_view path, absl::string_view how);

// Valid UTF-8 without NUL? A character cut off at the very end counts as valid.
bool LooksLikeText(absl::string_view bytes);

}  // namespace millrace

#endif  // RUNTIME_DATA_TEXT_H_
