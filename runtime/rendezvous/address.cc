#include "runtime/rendezvous/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace millrace {
namespace {

bool IsV6(absl::string_view host) { return absl::StrContains(host, ':'); }

}  // namespace

std::string HostPort::ToString() const {
  return IsV6(host) ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  const auto wrong = [text](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not an address: ", why, "; write HOST:PORT or [IPV6]:PORT"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return wrong("there is no port");
  HostPort out;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &out.port) || out.port < 0 || out.port > 65535) {
    return wrong("the port must be 0 to 65535");
  }
  absl::string_view host = text.substr(0, colon);
  const bool brackets = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.size() > 253) return wrong("the host must have 1 to 253 characters");
  if (IsV6(host) != brackets) return wrong("an IPv6 address stands in brackets, and nothing else does");
  for (const char c : host) {
    if (c <= ' ' || c > '~' || c == '/' || c == ',' || c == '%') return wrong("the host has a character that none has");
  }
  out.host = std::string(host);
  return out;
}

bool IsLoopback(absl::string_view host) {
  const std::string name(host);
  in_addr v4;
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return name == "localhost";
}

absl::StatusOr<std::vector<std::string>> ResolveWithSystem(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed != 0) {
    return absl::UnavailableError(absl::StrCat("the name '", host, "' does not resolve: ", gai_strerror(failed)));
  }
  absl::Cleanup free_list = [list] { freeaddrinfo(list); };
  std::vector<std::string> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) {
      addresses.push_back(text);
    }
  }
  if (addresses.empty()) return absl::UnavailableError(absl::StrCat("the name '", host, "' has no address"));
  return addresses;
}

std::string GrpcTarget(const std::string& address, int port) {
  return absl::StrCat(IsV6(address) ? "ipv6:" : "ipv4:", HostPort{address, port}.ToString());
}

}  // namespace millrace
