// A range of a token stream as samples: windows of T + 1 tokens at stride T.
#ifndef RUNTIME_DATA_TOKEN_WINDOWS_H_
#define RUNTIME_DATA_TOKEN_WINDOWS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/data/data_source.h"
#include "runtime/data/token_stream.h"

namespace millrace {

struct WindowOptions {
  uint64_t begin = 0, end = 0;  // tokens of the stream that belong to this source
  int64_t length = 0;           // T
  bool shuffle = false;         // another order each epoch, from `seed`
  uint64_t seed = 0;
};

// TOKENS are the first T ids of a window, LABELS the last T: the same moved on by one. Both inputs must be I64 [.., T].
// The scanned stream is shared and immutable. INVALID_ARGUMENT when the range is shorter than T + 1.
absl::StatusOr<std::unique_ptr<DataSource>> MakeTokenWindows(std::shared_ptr<const TokenStream> tokens,
                                                             const WindowOptions& options);

}  // namespace millrace

#endif  // RUNTIME_DATA_TOKEN_WINDOWS_H_
