#include "runtime/rendezvous/token_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace millrace {

absl::StatusOr<int> TokenInMemory(const JobToken& token) {
  const int fd = memfd_create("millrace-token", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return absl::ErrnoToStatus(errno, "cannot make a file in memory for the job's token");
  const std::string& text = token.text();
  if (fchmod(fd, 0600) != 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, "cannot write the job's token into memory");
  }
  return fd;
}

std::string TokenMemoryPath(int descriptor) { return absl::StrCat("/proc/self/fd/", descriptor); }

}  // namespace millrace
