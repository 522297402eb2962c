#include "runtime/launch/failure_report.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/text_proto.h"
#include "runtime/launch/sagemaker.h"

namespace millrace {
namespace {

constexpr size_t kTerminationBytes = 4096;  // Kubernetes keeps no more
constexpr size_t kSageMakerBytes = 1024;

// At most `most` bytes, without half a character at the end.
std::string Cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  text.resize(most);
  return text;
}

// Into a file that stands there already, in place: the cluster has mounted it, and a rename would miss the mount.
std::string WriteInPlace(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0) return absl::StrCat(path, ": cannot open: ", std::strerror(errno));
  const ssize_t n = write(fd, text.data(), text.size());
  const int failed = n < 0 ? errno : 0;
  close(fd);
  return failed != 0 ? absl::StrCat(path, ": cannot write: ", std::strerror(failed)) : "";
}

std::string TorchrunJson(const std::string& message, int exit_code, absl::Time now) {
  const nlohmann::json report = {
      {"message",
       {{"message", message},
        {"errorCode", exit_code},
        {"extraInfo", {{"timestamp", absl::StrCat(absl::ToUnixSeconds(now))}, {"exit_code", exit_code}}}}}};
  return report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::vector<std::string> ReportFailure(const LaunchEnvironment& environment, const absl::Status& status, int exit_code,
                                       absl::Time now) {
  std::vector<std::string> troubles;
  const auto keep = [&](const std::string& trouble) {
    if (!trouble.empty()) troubles.push_back(trouble);
  };
  const std::string message = absl::StrCat("millrace: ", status.message(), " (exit ", exit_code, ")");
  const std::string* const torchrun = environment.Find("TORCHELASTIC_ERROR_FILE");
  if (torchrun != nullptr && !torchrun->empty()) {
    const absl::Status written = WriteFileAtomically(*torchrun, TorchrunJson(message, exit_code, now));
    keep(std::string(written.message()));
  }
  const std::string log = absl::StrCat(environment.root, "/dev/termination-log");
  struct stat found;
  if (lstat(log.c_str(), &found) == 0 && S_ISREG(found.st_mode))
    keep(WriteInPlace(log, Cut(message, kTerminationBytes)));
  if (IsSageMaker(environment)) {
    const std::string path = absl::StrCat(environment.root, SageMakerFolder(environment), "/output/failure");
    keep(std::string(WriteFileAtomically(path, Cut(message, kSageMakerBytes)).message()));
  }
  return troubles;
}

}  // namespace millrace
