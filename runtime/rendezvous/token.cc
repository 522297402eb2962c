#include "runtime/rendezvous/token.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/file_error.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"

namespace millrace {
namespace {

constexpr size_t kShortest = 16, kLongest = 1024;

// Lengths in front, so that no two different lists of parts give the same bytes.
std::string Joined(absl::string_view speaker, absl::string_view rank_nonce, absl::string_view coordinator_nonce,
                   absl::string_view said) {
  std::string bytes = "millrace rendezvous 1";
  for (const absl::string_view part : {speaker, rank_nonce, coordinator_nonce, said}) {
    absl::StrAppend(&bytes, "|", part.size(), "|", part);
  }
  return bytes;
}

}  // namespace

std::string RandomBytes(size_t bytes) {
  std::string random(bytes, '\0');
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = getrandom(random.data() + done, bytes - done, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) std::abort();  // without randomness there is no secret; the kernel never refuses so few bytes
    done += n;
  }
  return random;
}

JobToken JobToken::Random() { return JobToken(absl::BytesToHexString(RandomBytes(32))); }

absl::StatusOr<JobToken> JobToken::FromText(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() < kShortest || text.size() > kLongest) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job's token has ", text.size(), " bytes; it must have ", kShortest, " to ", kLongest,
                     ". One is made by: head -c 32 /dev/urandom | sha256sum | head -c 64"));
  }
  return JobToken(std::string(text));
}

absl::StatusOr<JobToken> JobToken::FromFile(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return CannotRead(errno, absl::StrCat(path, ": the job's token"));
  if ((file.st_mode & 0027) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s: the job's token can be read by other users, or written by its group (mode %04o); "
                        "run: chmod 600 %s",
                        path, file.st_mode & 07777, path));
  }
  MR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4 * kLongest));
  absl::StatusOr<JobToken> token = FromText(text);
  if (!token.ok()) return absl::Status(token.status().code(), absl::StrCat(path, ": ", token.status().message()));
  return token;
}

// Under another name first: whoever looks for the file finds all of it or nothing.
absl::Status JobToken::WriteTo(const std::string& path) const {
  const std::string unfinished = absl::StrCat(path, ".", absl::BytesToHexString(RandomBytes(6)));
  const int fd = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return CannotWrite(errno, absl::StrCat(path, ": cannot create the job's token"));
  const absl::Cleanup remove = [&] { unlink(unfinished.c_str()); };
  const ssize_t written = write(fd, text_.data(), text_.size());
  const int failed = written < 0 ? errno : ENOSPC;
  close(fd);
  if (written != static_cast<ssize_t>(text_.size())) {
    return CannotWrite(failed, absl::StrCat(path, ": cannot write the job's token"));
  }
  if (link(unfinished.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return CannotWrite(errno, absl::StrCat(path, ": cannot create the job's token"));
}

std::string JobToken::Prove(absl::string_view speaker, absl::string_view rank_nonce,
                            absl::string_view coordinator_nonce, absl::string_view said) const {
  const std::string bytes = Joined(speaker, rank_nonce, coordinator_nonce, said);
  unsigned char proof[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), text_.data(), static_cast<int>(text_.size()), reinterpret_cast<const unsigned char*>(bytes.data()),
       bytes.size(), proof, &size);
  return std::string(reinterpret_cast<const char*>(proof), size);
}

bool JobToken::Accepts(absl::string_view proof, absl::string_view speaker, absl::string_view rank_nonce,
                       absl::string_view coordinator_nonce, absl::string_view said) const {
  if (empty()) return false;
  const std::string right = Prove(speaker, rank_nonce, coordinator_nonce, said);
  return proof.size() == right.size() && CRYPTO_memcmp(proof.data(), right.data(), right.size()) == 0;
}

}  // namespace millrace
