#include "runtime/rendezvous/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

constexpr int kBacklog = 1024;
constexpr int kPauseMs = 50;  // when the process has no descriptor left
constexpr rlim_t kOwnDescriptors = 512;

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

socklen_t SizeOf(const SocketAddress& address) {
  return address.any.sa_family == AF_INET6 ? sizeof(address.v6) : sizeof(address.v4);
}

// `host` is numeric.
SocketAddress AddressOf(const std::string& host, int port) {
  SocketAddress address{};
  if (inet_pton(AF_INET6, host.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return address;
  }
  address = {};
  address.v4.sin_family = AF_INET;
  address.v4.sin_port = htons(port);
  inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr);
  return address;
}

absl::Status CannotListen(int error, const HostPort& where) {
  const char* const hint = error == EADDRINUSE      ? ": another program has the port; choose another"
                           : error == EADDRNOTAVAIL ? ": it is not an address of this machine"
                                                    : "";
  return absl::UnavailableError(absl::StrCat("cannot listen at ", where.ToString(), ": ", std::strerror(error), hint));
}

rlim_t MostDescriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const HostPort& where) {
  MR_ASSIGN_OR_RETURN(const std::vector<std::string> addresses, ResolveWithSystem(where.host));
  SocketAddress address = AddressOf(addresses[0], where.port);
  const int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return CannotListen(errno, where);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
             sizeof(on));  // not SO_REUSEPORT: two coordinators would share the ranks
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // connections inherit it
  socklen_t size = sizeof(address);
  if (bind(fd, &address.any, SizeOf(address)) != 0 || listen(fd, kBacklog) != 0 ||
      getsockname(fd, &address.any, &size) != 0) {
    const int error = errno;
    close(fd);
    return CannotListen(error, where);
  }
  const int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop < 0) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, "cannot make an event descriptor");
  }
  const int port = ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
  return std::unique_ptr<Listener>(new Listener(fd, port, stop));
}

Listener::~Listener() {
  eventfd_write(stop_, 1);
  if (thread_.joinable()) thread_.join();
  close(socket_);
  close(stop_);
}

void Listener::Start(std::function<void(int)> take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Accept(); });
}

void Listener::Accept() {
  while (true) {
    pollfd entries[] = {{stop_, POLLIN, 0}, {socket_, POLLIN, 0}};
    poll(entries, 2, -1);
    if (entries[0].revents != 0) return;
    const int fd = accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      // Descriptors are given out from the lowest free number, so the number tells how many there are.
      if (static_cast<rlim_t>(fd) < MostDescriptors() / 2) {
        take_(fd);
      } else {
        close(fd);
      }
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      poll(entries, 1, kPauseMs);
    }
  }
}

absl::Status ReserveDescriptors(int ranks) {
  const rlim_t needed = 2 * (static_cast<rlim_t>(ranks) + kOwnDescriptors);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= needed || ranks < 128) return absl::OkStatus();
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  if (limit.rlim_cur >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a coordinator of ", ranks, " ranks needs ", needed,
                                                   " descriptors, and this process may have ", limit.rlim_max,
                                                   "; raise the hard limit (ulimit -n)"));
}

}  // namespace millrace
