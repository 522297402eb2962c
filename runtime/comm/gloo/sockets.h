// Sockets between all ranks, each of which has proved to be the rank it says: what gloo's links are made of.
#ifndef RUNTIME_COMM_GLOO_SOCKETS_H_
#define RUNTIME_COMM_GLOO_SOCKETS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace millrace::gloo_comm {

// An open file descriptor and its owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.Release()) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  int Release();

 private:
  int fd_ = -1;
};

// 128 random bits. Whoever can name them has them from the exchange.
using Word = std::array<uint8_t, 16>;

// Where a rank listens and what a caller must know.
struct Door {
  sockaddr_storage address = {};
  Word word = {};
};
std::string Encode(const Door& door);
absl::StatusOr<Door> DecodeDoor(const std::string& text);

// A rank's own door, open on a port that the kernel chooses at `address` (whose port is ignored).
struct OpenDoor {
  Socket socket;
  Door door;
};
absl::StatusOr<OpenDoor> Open(const sockaddr_storage& address);

// Connects to the doors of lower ranks and lets higher ranks in; returns sockets by rank, none for the
// rank itself. Strangers are turned away whatever they send or leave unsent, and cannot hold up the others.
// UNAVAILABLE names the ranks that are missing at the deadline.
absl::StatusOr<std::vector<Socket>> Connect(const OpenDoor& own, const std::vector<Door>& doors, int rank,
                                            absl::Time deadline);

}  // namespace millrace::gloo_comm

#endif  // RUNTIME_COMM_GLOO_SOCKETS_H_
