#include "runtime/launch/http_get.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "proto/status_macros.h"
#include "runtime/launch/claim.h"

namespace millrace {
namespace {

constexpr size_t kLongestAnswer = 64 << 10;

// A connection that never waits past its deadline.
class Connection {
 public:
  explicit Connection(absl::Time deadline) : deadline_(deadline) {}
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  absl::Status Connect(const Endpoint& server) {
    addrinfo hints = {};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failed = getaddrinfo(server.host.c_str(), absl::StrCat(server.port).c_str(), &hints, &found);
    if (failed != 0) return absl::UnavailableError(gai_strerror(failed));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> keeper(found, freeaddrinfo);
    absl::Status status = absl::UnavailableError("no address");
    for (const addrinfo* a = found; a != nullptr && !Connected(*a, &status); a = a->ai_next) {
    }
    return status;
  }

  absl::Status Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      MR_RETURN_IF_ERROR(Ready(POLLOUT));
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) return absl::UnavailableError(std::strerror(errno));
      if (n > 0) bytes.remove_prefix(n);
    }
    return absl::OkStatus();
  }

  // Everything up to the end of the stream.
  absl::StatusOr<std::string> ReadAll() {
    std::string all;
    char piece[4096];
    while (true) {
      MR_RETURN_IF_ERROR(Ready(POLLIN));
      const ssize_t n = recv(fd_, piece, sizeof(piece), 0);
      if (n == 0) return all;
      if (n < 0 && errno != EAGAIN && errno != EINTR) return absl::UnavailableError(std::strerror(errno));
      if (n > 0) all.append(piece, n);
      if (all.size() > kLongestAnswer) {
        return absl::InvalidArgumentError(absl::StrCat("an answer of more than ", kLongestAnswer, " bytes"));
      }
    }
  }

 private:
  bool Connected(const addrinfo& address, absl::Status* status) {
    if (fd_ >= 0) close(fd_);
    fd_ = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
    int error = fd_ < 0 || (connect(fd_, address.ai_addr, address.ai_addrlen) != 0) ? errno : 0;
    if (error == EINPROGRESS) {
      *status = Ready(POLLOUT);
      if (!status->ok()) return false;
      socklen_t length = sizeof(error);
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    }
    *status = error == 0 ? absl::OkStatus() : absl::UnavailableError(std::strerror(error));
    return error == 0;
  }

  absl::Status Ready(short what) {
    while (true) {
      const absl::Duration left = deadline_ - absl::Now();
      if (left <= absl::ZeroDuration()) return absl::UnavailableError("no answer in time");
      pollfd wait = {fd_, what, 0};
      const int n = poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (n > 0) return absl::OkStatus();
      if (n < 0 && errno != EINTR) return absl::UnavailableError(std::strerror(errno));
    }
  }

  absl::Time deadline_;
  int fd_ = -1;
};

// The body of "HTTP/1.x 200 ...", checked against Content-Length.
absl::StatusOr<std::string> BodyOf(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  if (!absl::StartsWith(answer, "HTTP/1.") || answer.size() < 12 || end == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("no HTTP answer: ", QuotedValue(answer)));
  }
  const absl::string_view code = absl::string_view(answer).substr(9, 3);
  if (code == "404") return absl::NotFoundError("status 404");
  if (code != "200") return absl::UnavailableError(absl::StrCat("status ", QuotedValue(code)));
  std::string body = answer.substr(end + 4);
  for (const absl::string_view line : absl::StrSplit(absl::string_view(answer).substr(0, end), "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> header = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::EqualsIgnoreCase(header.first, "transfer-encoding")) {
      return absl::InvalidArgumentError("an answer in pieces, which HTTP/1.0 has not");
    }
    uint64_t bytes = 0;
    if (!absl::EqualsIgnoreCase(header.first, "content-length")) continue;
    if (!absl::SimpleAtoi(header.second, &bytes))
      return absl::InvalidArgumentError("a Content-Length that is no number");
    if (bytes > body.size()) return absl::UnavailableError("an answer that is cut short");
    body.resize(bytes);
  }
  return body;
}

}  // namespace

absl::StatusOr<std::string> HttpGet(absl::string_view url, absl::string_view header, absl::Duration timeout) {
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError(absl::StrCat(QuotedValue(url), ": does not begin with http://"));
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  const absl::string_view path = slash == rest.size() ? "/" : rest.substr(slash);
  MR_ASSIGN_OR_RETURN(const Endpoint server, ParseEndpoint(rest.substr(0, slash), "metadata server", 80));
  const auto annotate = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(url, ": ", status.message()));
  };
  Connection connection(absl::Now() + timeout);
  absl::Status status = connection.Connect(server);
  if (!status.ok()) return annotate(status);
  status = connection.Write(absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: ", rest.substr(0, slash), "\r\n", header,
                                         "\r\nConnection: close\r\n\r\n"));
  if (!status.ok()) return annotate(status);
  const absl::StatusOr<std::string> answer = connection.ReadAll();
  if (!answer.ok()) return annotate(answer.status());
  absl::StatusOr<std::string> body = BodyOf(*answer);
  return body.ok() ? std::move(body) : annotate(body.status());
}

}  // namespace millrace
