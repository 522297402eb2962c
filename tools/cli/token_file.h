// A job's token as a file: what is started later reads it there, and not in its environment.
#ifndef TOOLS_CLI_TOKEN_FILE_H_
#define TOOLS_CLI_TOKEN_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace millrace {

// A new file in TMPDIR (or /tmp) that its owner alone can read. It stays until the caller removes it; after an error
// there is none.
// UNAVAILABLE, DATA_LOSS.
absl::StatusOr<std::string> WriteTokenFile(const std::string& token);

}  // namespace millrace

#endif  // TOOLS_CLI_TOKEN_FILE_H_
