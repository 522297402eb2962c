#include "runtime/membership/shared_token.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"

namespace millrace {

std::string SharedTokenPath(int port) {
  const char* const folder = std::getenv("TMPDIR");
  return absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp", "/millrace-", getuid(), "-", port,
                      ".token");
}

absl::StatusOr<JobToken> LeaveSharedToken(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return CannotWrite(errno, absl::StrCat(path, ": cannot remove what lies where the job's token goes; give one with ",
                                           "MILLRACE_TOKEN_FILE"));
  }
  const JobToken token = JobToken::Random();
  MR_RETURN_IF_ERROR(token.WriteTo(path));
  return token;
}

}  // namespace millrace
