#include "tools/cli/token_file.h"

#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace millrace {

absl::StatusOr<std::string> WriteTokenFile(const std::string& token) {
  const char* const folder = std::getenv("TMPDIR");
  std::string path = absl::StrCat(folder == nullptr ? "/tmp" : folder, "/millrace-token-XXXXXX");
  constexpr char kElsewhere[] = "; let TMPDIR name a folder that can be written";
  const int fd = mkstemp(path.data());  // readable by its owner only
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": cannot create the job's token", kElsewhere));
  const bool written = write(fd, token.data(), token.size()) == static_cast<ssize_t>(token.size());
  close(fd);
  if (written) return path;
  unlink(path.c_str());
  return absl::DataLossError(absl::StrCat(path, ": cannot write the job's token", kElsewhere));
}

}  // namespace millrace
