#include "runtime/rendezvous/environment.h"

#include <cstdint>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"

namespace millrace {
namespace {

absl::StatusOr<std::string> Text(const Environment& environment, const char* name) {
  const char* const value = environment(name);
  if (value != nullptr && *value != '\0') return std::string(value);
  return absl::InvalidArgumentError(absl::StrCat(name, " is not set: was this process started by a launcher?"));
}

absl::StatusOr<int> Number(const Environment& environment, const char* name, int least, int most) {
  MR_ASSIGN_OR_RETURN(const std::string text, Text(environment, name));
  int number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= least && number <= most) return number;
  return absl::InvalidArgumentError(
      absl::StrCat(name, "='", text.substr(0, 32), "' is not a number from ", least, " to ", most));
}

}  // namespace

absl::StatusOr<RendezvousOptions> OptionsFromEnvironment(const Environment& environment) {
  constexpr int kMost = std::numeric_limits<int>::max();
  RendezvousOptions options;
  MR_ASSIGN_OR_RETURN(options.identity.size, Number(environment, kSizeVariable, 1, kMost));
  MR_ASSIGN_OR_RETURN(options.rank, Number(environment, kRankVariable, 0, options.identity.size - 1));
  MR_ASSIGN_OR_RETURN(options.coordinator, Text(environment, kCoordinatorVariable));
  MR_ASSIGN_OR_RETURN(options.token_file, Text(environment, kTokenFileVariable));
  MR_ASSIGN_OR_RETURN(options.identity.job, Text(environment, kJobVariable));
  if (environment(kRestartVariable) != nullptr) {
    MR_ASSIGN_OR_RETURN(options.identity.incarnation, Number(environment, kRestartVariable, 0, kMost));
  }
  return options;
}

}  // namespace millrace
