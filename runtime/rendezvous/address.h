// Where a coordinator listens, and how its name becomes an address.
#ifndef RUNTIME_RENDEZVOUS_ADDRESS_H_
#define RUNTIME_RENDEZVOUS_ADDRESS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

struct HostPort {
  std::string host;  // without brackets
  int port = 0;

  std::string ToString() const;  // "10.0.0.1:29400", "[::1]:29400"
};

// "host:port", "[v6]:port". INVALID_ARGUMENT says what is wrong.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// Whether it is 127.0.0.0/8, ::1 or "localhost". Other names are not looked up: they count as beyond.
bool IsLoopback(absl::string_view host);

// All numeric addresses of a host, at least one. UNAVAILABLE when the name does not resolve (yet). May block for as
// long as the system's name service does.
using Resolver = std::function<absl::StatusOr<std::vector<std::string>>(const std::string& host)>;
absl::StatusOr<std::vector<std::string>> ResolveWithSystem(const std::string& host);

// What gRPC calls a numeric address: "ipv4:127.0.0.1:29400".
std::string GrpcTarget(const std::string& address, int port);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_ADDRESS_H_
