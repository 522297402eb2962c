// What one source says of the launch, each fact with the words it was read from, so that a refusal can show both sides.
#ifndef RUNTIME_LAUNCH_CLAIM_H_
#define RUNTIME_LAUNCH_CLAIM_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/launch/launch_environment.h"

namespace millrace {

// More ranks than any launcher starts; also keeps every product of two counts far from overflow.
inline constexpr int64_t kMostRanks = 1 << 20;

struct Endpoint {
  std::string host;  // a name, or an address without brackets
  int port = 0;
  bool operator==(const Endpoint&) const = default;
};

// "host:port", "[::1]:port".
std::string ToString(const Endpoint& endpoint);

// A fact and where it stands: {3, "RANK=3"}.
template <typename T>
struct Said {
  T value;
  std::string from;
};

using SaidNumber = std::optional<Said<int64_t>>;
using SaidEndpoint = std::optional<Said<Endpoint>>;

// Absent: the source does not say.
struct Claim {
  SaidNumber rank, size;
  SaidNumber local_rank, local_size;  // among the ranks of this machine
  SaidNumber node_rank, nodes;        // machines
  SaidEndpoint coordinator;
  // Worked out by a convention, not said: gives way to any coordinator that is said.
  bool coordinator_derived = false;
  // > 1: this process stands for the ranks [rank, rank + ranks_here), which it starts itself; the launcher starts one
  // process a machine.
  int64_t ranks_here = 1;
  // The source numbers its ranks anew, whatever the launcher outside it said of this machine's place.
  bool own_order = false;
  std::string note;  // for a person: why it says less than its variables promise

  bool says_something() const;
};

// FAILED_PRECONDITION, which ends the program with "bad configuration": "RANK='abc': a whole number from 0 to ...".
absl::Status BadLaunch(absl::string_view where, absl::string_view value, absl::string_view wanted);

// The variable as a number in [least, most]; absent when it is not set.
absl::StatusOr<SaidNumber> NumberIn(const LaunchEnvironment& environment, absl::string_view variable, int64_t least,
                                    int64_t most);
// The same for a text that is no variable: `from` says where it stands.
absl::StatusOr<Said<int64_t>> ParseNumber(absl::string_view text, absl::string_view from, int64_t least, int64_t most);
// The first of the variables that is set.
absl::StatusOr<SaidNumber> FirstNumberIn(const LaunchEnvironment& environment,
                                         std::initializer_list<absl::string_view> variables, int64_t least,
                                         int64_t most);

// A host name or address: letters, digits, '-', '_', '.', or an IPv6 address; at most 253 bytes.
absl::Status CheckHost(absl::string_view host, absl::string_view from);
// "host:port", "[address]:port"; without a port, `default_port` (0: it must be there).
absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text, absl::string_view from, int default_port);
// Host and port from two variables; absent when the first is not set.
absl::StatusOr<SaidEndpoint> EndpointIn(const LaunchEnvironment& environment, absl::string_view host_variable,
                                        absl::string_view port_variable, int default_port);

// "NAME=value", escaped.
std::string Shown(absl::string_view variable, absl::string_view value);

// The port after the one that the launcher serves itself.
int NextPort(int port);
// A port that all ranks of a job find from its number, above those that the system hands out by itself.
int PortOfJob(uint64_t job);

}  // namespace millrace

#endif  // RUNTIME_LAUNCH_CLAIM_H_
