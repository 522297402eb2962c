#include "runtime/comm/gloo/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <type_traits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"

namespace millrace::gloo_comm {
namespace {

constexpr int kBacklog = 128;
constexpr size_t kMostStrangers = 64;  // callers that have not said who they are, at a time
constexpr absl::Duration kSpeakWithin = absl::Seconds(3);

// What both ends say. The caller names the word of the door, the door answers with the caller's.
struct Hello {
  char magic[8] = {'M', 'R', 'g', 'l', 'o', 'o', '0', '1'};
  Word word = {};
  uint32_t from = 0;
  uint32_t to = 0;
};
static_assert(sizeof(Hello) == 32);

absl::Status Failed(const char* call) {
  return absl::UnavailableError(absl::StrCat("gloo: ", call, ": ", std::strerror(errno)));
}

socklen_t LengthOf(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

// In a time that does not depend on where they differ.
bool Equal(const Hello& a, const Hello& b) {
  const auto* x = reinterpret_cast<const unsigned char*>(&a);
  const auto* y = reinterpret_cast<const unsigned char*>(&b);
  unsigned char difference = 0;
  for (size_t i = 0; i < sizeof(Hello); ++i) difference |= x[i] ^ y[i];
  return difference == 0;
}

// A connection on its way to being trusted.
struct Caller {
  Socket socket;
  int peer = -1;         // -1: has called us and not said who it is
  bool calling = false;  // we call
  size_t sent = 0, received = 0;
  Hello out, in;
  absl::Time until = absl::InfiniteFuture();
  bool trusted = false;  // `in` is right
  bool done() const { return trusted && sent == sizeof(Hello); }
};

class Meeting {
 public:
  Meeting(const OpenDoor& own, const std::vector<Door>& doors, int rank)
      : own_(own), doors_(doors), rank_(rank), sockets_(doors.size()) {}

  absl::StatusOr<std::vector<Socket>> Run(absl::Time deadline) {
    for (int peer = 0; peer < rank_; ++peer) MR_RETURN_IF_ERROR(Call(peer));
    while (missing() > 0) {
      if (absl::Now() >= deadline) return absl::UnavailableError(absl::StrCat("gloo: rank ", rank_, Missing()));
      MR_RETURN_IF_ERROR(Look(deadline));
    }
    return std::move(sockets_);
  }

 private:
  int missing() const {
    int open = 0;
    for (const Socket& socket : sockets_) open += socket.open();
    return static_cast<int>(sockets_.size()) - 1 - open;
  }

  std::string Missing() const {
    std::string text = " found no connection with ranks";
    for (int peer = 0; peer < static_cast<int>(sockets_.size()); ++peer) {
      if (peer != rank_ && !sockets_[peer].open()) absl::StrAppend(&text, " ", peer);
    }
    return text;
  }

  absl::Status Call(int peer) {
    const sockaddr_storage& address = doors_[peer].address;
    Caller caller;
    caller.socket = Socket(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!caller.socket.open()) return Failed("socket");
    if (::connect(caller.socket.fd(), reinterpret_cast<const sockaddr*>(&address), LengthOf(address)) != 0 &&
        errno != EINPROGRESS) {
      return absl::UnavailableError(absl::StrCat("gloo: rank ", rank_, " calls rank ", peer, ": ", strerror(errno)));
    }
    caller.peer = peer;
    caller.calling = true;
    caller.out.word = doors_[peer].word;
    caller.out.from = rank_;
    caller.out.to = peer;
    callers_.push_back(std::move(caller));
    return absl::OkStatus();
  }

  // One round: whoever can, speaks, listens or comes in.
  absl::Status Look(absl::Time deadline) {
    std::vector<pollfd> polled = {{own_.socket.fd(), POLLIN, 0}};
    absl::Time until = deadline;
    for (const Caller& caller : callers_) {
      const bool speaks = caller.sent < sizeof(Hello) && (caller.calling || caller.trusted);
      polled.push_back({caller.socket.fd(), static_cast<short>(speaks ? POLLOUT : POLLIN), 0});
      until = std::min(until, caller.until);
    }
    const int64_t ms = absl::ToInt64Milliseconds(until - absl::Now());
    if (::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<int64_t>(ms + 1, 0, 1000))) < 0) {
      return errno == EINTR ? absl::OkStatus() : Failed("poll");
    }
    size_t i = 1;
    for (auto caller = callers_.begin(); caller != callers_.end(); ++i) {
      bool keep = caller->until > absl::Now();
      if (keep && polled[i].revents != 0) keep = Proceed(*caller);
      if (!keep && caller->calling) {
        return absl::UnavailableError(
            absl::StrCat("gloo: rank ", rank_, " calls rank ", caller->peer, ", which does not answer as it should"));
      }
      if (keep && caller->done()) {
        sockets_[caller->peer] = std::move(caller->socket);
        keep = false;
      }
      caller = keep ? std::next(caller) : callers_.erase(caller);
    }
    if (polled[0].revents != 0) LetIn();
    return absl::OkStatus();
  }

  // False: to be dropped.
  bool Proceed(Caller& caller) {
    if (caller.sent < sizeof(Hello) && (caller.calling || caller.trusted)) {
      const char* from = reinterpret_cast<const char*>(&caller.out);
      const ssize_t n = ::send(caller.socket.fd(), from + caller.sent, sizeof(Hello) - caller.sent, MSG_NOSIGNAL);
      if (n > 0) caller.sent += n;
      return n > 0 || errno == EAGAIN || errno == EINTR;
    }
    // Never more than the hello: what follows is gloo's.
    char* to = reinterpret_cast<char*>(&caller.in);
    const ssize_t n = ::recv(caller.socket.fd(), to + caller.received, sizeof(Hello) - caller.received, 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    caller.received += n;
    return caller.received < sizeof(Hello) || Recognise(caller);
  }

  bool Recognise(Caller& caller) {
    const uint32_t from = caller.calling ? caller.peer : caller.in.from;
    if (!caller.calling && (from <= static_cast<uint32_t>(rank_) || from >= doors_.size())) return false;
    Hello expected;
    expected.word = own_.door.word;
    expected.from = from;
    expected.to = rank_;
    if (!Equal(caller.in, expected) || sockets_[from].open()) return false;
    caller.trusted = true;
    caller.peer = static_cast<int>(from);
    if (caller.calling) return true;
    caller.out.word = doors_[from].word;
    caller.out.from = rank_;
    caller.out.to = from;
    return true;
  }

  void LetIn() {
    while (true) {
      Caller caller;
      caller.socket = Socket(::accept4(own_.socket.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!caller.socket.open()) return;
      caller.until = absl::Now() + kSpeakWithin;
      const auto stranger = [](const Caller& c) { return !c.calling && !c.trusted; };
      if (std::count_if(callers_.begin(), callers_.end(), stranger) >= static_cast<ptrdiff_t>(kMostStrangers)) {
        callers_.erase(std::find_if(callers_.begin(), callers_.end(), stranger));
      }
      callers_.push_back(std::move(caller));
    }
  }

  const OpenDoor& own_;
  const std::vector<Door>& doors_;
  const int rank_;
  std::vector<Socket> sockets_;
  std::list<Caller> callers_;
};

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

int Socket::Release() { return std::exchange(fd_, -1); }

std::string Encode(const Door& door) {
  static_assert(std::is_trivially_copyable_v<Door>);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(&door), sizeof(door)));
}

absl::StatusOr<Door> DecodeDoor(const std::string& text) {
  Door door;
  if (text.size() != 2 * sizeof(door) || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::InvalidArgumentError("gloo: what a rank told on the exchange is not an address");
  }
  std::memcpy(&door, absl::HexStringToBytes(text).data(), sizeof(door));
  if (door.address.ss_family != AF_INET && door.address.ss_family != AF_INET6) {
    return absl::InvalidArgumentError("gloo: a rank's address is neither IPv4 nor IPv6");
  }
  return door;
}

absl::StatusOr<OpenDoor> Open(const sockaddr_storage& address) {
  OpenDoor open;
  sockaddr_storage any_port = address;
  if (address.ss_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6&>(any_port).sin6_port = 0;
  } else {
    reinterpret_cast<sockaddr_in&>(any_port).sin_port = 0;
  }
  open.socket = Socket(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!open.socket.open()) return Failed("socket");
  if (::bind(open.socket.fd(), reinterpret_cast<sockaddr*>(&any_port), LengthOf(address)) != 0) return Failed("bind");
  if (::listen(open.socket.fd(), kBacklog) != 0) return Failed("listen");
  socklen_t length = sizeof(open.door.address);
  ::getsockname(open.socket.fd(), reinterpret_cast<sockaddr*>(&open.door.address), &length);
  if (::getrandom(open.door.word.data(), open.door.word.size(), 0) != static_cast<ssize_t>(open.door.word.size())) {
    return Failed("getrandom");
  }
  return open;
}

absl::StatusOr<std::vector<Socket>> Connect(const OpenDoor& own, const std::vector<Door>& doors, int rank,
                                            absl::Time deadline) {
  return Meeting(own, doors, rank).Run(deadline);
}

}  // namespace millrace::gloo_comm
