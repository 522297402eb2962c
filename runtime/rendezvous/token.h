// The secret that the processes of one job share. It never crosses the network: each side proves that it has it.
#ifndef RUNTIME_RENDEZVOUS_TOKEN_H_
#define RUNTIME_RENDEZVOUS_TOKEN_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

inline constexpr size_t kNonceBytes = 32;

// `bytes` random bytes from the kernel.
std::string RandomBytes(size_t bytes);

// Thread-compatible. Its text must not be logged, nor stand on a command line.
class JobToken {
 public:
  JobToken() = default;  // empty: proves nothing and accepts nothing
  // 256 random bits, written in hexadecimal.
  static JobToken Random();
  // 16 to 1024 bytes; white space around them does not count. INVALID_ARGUMENT otherwise.
  static absl::StatusOr<JobToken> FromText(absl::string_view text);
  // A file that others than its owner and its group can read is refused with PERMISSION_DENIED. NOT_FOUND when it does
  // not exist.
  static absl::StatusOr<JobToken> FromFile(const std::string& path);
  // A new file that only its owner can read. ALREADY_EXISTS when there is one.
  absl::Status WriteTo(const std::string& path) const;

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

  // HMAC-SHA-256 over who speaks ("rank" or "coordinator"), both nonces and what is said. Fresh nonces make a proof
  // worthless for any other connection.
  std::string Prove(absl::string_view speaker, absl::string_view rank_nonce, absl::string_view coordinator_nonce,
                    absl::string_view said) const;
  // Whether `proof` is that, in a time that does not depend on how much of it is right. False for an empty token.
  bool Accepts(absl::string_view proof, absl::string_view speaker, absl::string_view rank_nonce,
               absl::string_view coordinator_nonce, absl::string_view said) const;

 private:
  explicit JobToken(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_TOKEN_H_
