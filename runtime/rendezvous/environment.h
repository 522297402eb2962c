// What the local supervisor tells a rank through its environment. docs/rendezvous.md lists the variables.
#ifndef RUNTIME_RENDEZVOUS_ENVIRONMENT_H_
#define RUNTIME_RENDEZVOUS_ENVIRONMENT_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/rendezvous/client.h"

namespace millrace {

inline constexpr char kRankVariable[] = "MILLRACE_RANK";
inline constexpr char kSizeVariable[] = "MILLRACE_SIZE";
inline constexpr char kLocalRankVariable[] = "MILLRACE_LOCAL_RANK";
inline constexpr char kLocalSizeVariable[] = "MILLRACE_LOCAL_SIZE";
inline constexpr char kCoordinatorVariable[] = "MILLRACE_COORDINATOR";  // HOST:PORT
inline constexpr char kTokenFileVariable[] = "MILLRACE_TOKEN_FILE";     // never the token itself
inline constexpr char kJobVariable[] = "MILLRACE_JOB";
inline constexpr char kRestartVariable[] = "MILLRACE_RESTART";  // how often the job was started before
// Tells the rank to believe these variables, whatever other launchers left in the environment.
inline constexpr char kLaunchVariable[] = "MILLRACE_LAUNCH";
inline constexpr char kLaunchByMillrace[] = "millrace";

// nullptr for a variable that is not set; `getenv` fits.
using Environment = std::function<const char*(const char* name)>;

// The options of a rank that a supervisor started; the plan hash and the version are left for the caller.
// INVALID_ARGUMENT names the variable that is missing or wrong.
absl::StatusOr<RendezvousOptions> OptionsFromEnvironment(const Environment& environment);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_ENVIRONMENT_H_
