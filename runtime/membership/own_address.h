// Which addresses this machine has, and which of them leads to another one.
#ifndef RUNTIME_MEMBERSHIP_OWN_ADDRESS_H_
#define RUNTIME_MEMBERSHIP_OWN_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace millrace {

// The numeric address that the kernel would send from to `host` (a name or an address). Nothing is sent. UNAVAILABLE
// when the name does not resolve or there is no route.
absl::StatusOr<std::string> OwnAddressTowards(const std::string& host, int port);

// All numeric addresses of this machine by which others may reach it; IPv6 ones only if they need no scope.
std::vector<std::string> AddressesBeyondLoopback();

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_OWN_ADDRESS_H_
