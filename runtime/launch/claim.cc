#include "runtime/launch/claim.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"

namespace millrace {

std::string ToString(const Endpoint& endpoint) {
  const bool bracketed = absl::StrContains(endpoint.host, ":");
  return absl::StrCat(bracketed ? "[" : "", endpoint.host, bracketed ? "]:" : ":", endpoint.port);
}

bool Claim::says_something() const {
  return rank || size || local_rank || local_size || node_rank || nodes || coordinator;
}

absl::Status BadLaunch(absl::string_view where, absl::string_view value, absl::string_view wanted) {
  return absl::FailedPreconditionError(absl::StrCat(where, "=", QuotedValue(value), ": ", wanted, " is needed"));
}

std::string Shown(absl::string_view variable, absl::string_view value) {
  std::string text = QuotedValue(value);
  const bool plain = text.size() == value.size() + 2 && !value.empty();
  return absl::StrCat(variable, "=", plain ? std::string(value) : text);
}

absl::StatusOr<Said<int64_t>> ParseNumber(absl::string_view text, absl::string_view from, int64_t least, int64_t most) {
  int64_t value = 0;
  const bool digits = !text.empty() && text.size() <= 19 && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(text, &value) || value < least || value > most) {
    return BadLaunch(from, text, absl::StrCat("a whole number from ", least, " to ", most));
  }
  return Said<int64_t>{value, absl::StrCat(from, "=", text)};
}

absl::StatusOr<SaidNumber> NumberIn(const LaunchEnvironment& environment, absl::string_view variable, int64_t least,
                                    int64_t most) {
  const std::string* const text = environment.Find(variable);
  if (text == nullptr) return SaidNumber();
  MR_ASSIGN_OR_RETURN(Said<int64_t> number, ParseNumber(*text, variable, least, most));
  return SaidNumber(std::move(number));
}

absl::StatusOr<SaidNumber> FirstNumberIn(const LaunchEnvironment& environment,
                                         std::initializer_list<absl::string_view> variables, int64_t least,
                                         int64_t most) {
  for (const absl::string_view variable : variables) {
    if (environment.Has(variable)) return NumberIn(environment, variable, least, most);
  }
  return SaidNumber();
}

absl::Status CheckHost(absl::string_view host, absl::string_view from) {
  const bool address = absl::StrContains(host, ":");
  const auto good = [&](char c) {
    if (address) return absl::ascii_isxdigit(c) || c == ':' || c == '.' || c == '%' || absl::ascii_isalnum(c);
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  if (host.empty() || host.size() > 253 || host[0] == '-' || host[0] == '.' ||
      !std::all_of(host.begin(), host.end(), good)) {
    return BadLaunch(from, host, "a host name or an address");
  }
  return absl::OkStatus();
}

absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text, absl::string_view from, int default_port) {
  absl::string_view host = text, port;
  bool has_port = false;
  if (absl::ConsumePrefix(&host, "[")) {
    const size_t bracket = host.find(']');
    if (bracket == absl::string_view::npos) return BadLaunch(from, text, "host:port or [address]:port");
    port = host.substr(bracket + 1);
    host = host.substr(0, bracket);
    has_port = absl::ConsumePrefix(&port, ":");
    if (!has_port && !port.empty()) return BadLaunch(from, text, "host:port or [address]:port");
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(host.size() + 1);
    has_port = true;
  }
  MR_RETURN_IF_ERROR(CheckHost(host, from));
  if (!has_port) {
    if (default_port == 0) return BadLaunch(from, text, "host:port");
    return Endpoint{std::string(host), default_port};
  }
  int64_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
    return BadLaunch(from, text, "a port from 1 to 65535 behind the host");
  }
  return Endpoint{std::string(host), static_cast<int>(number)};
}

absl::StatusOr<SaidEndpoint> EndpointIn(const LaunchEnvironment& environment, absl::string_view host_variable,
                                        absl::string_view port_variable, int default_port) {
  const std::string* const host = environment.Find(host_variable);
  if (host == nullptr) return SaidEndpoint();
  MR_RETURN_IF_ERROR(CheckHost(*host, host_variable));
  MR_ASSIGN_OR_RETURN(const SaidNumber port, NumberIn(environment, port_variable, 1, 65535));
  return SaidEndpoint({{*host, port ? static_cast<int>(port->value) : default_port},
                       absl::StrCat(Shown(host_variable, *host), port ? absl::StrCat(" ", port->from) : "")});
}

int NextPort(int port) { return port >= 65535 ? 1024 : port + 1; }

int PortOfJob(uint64_t job) { return static_cast<int>(job % 4096) + 61440; }

}  // namespace millrace
