// The secret of a job whose launcher brings none: processes of one machine and one user find it in a file.
#ifndef RUNTIME_MEMBERSHIP_SHARED_TOKEN_H_
#define RUNTIME_MEMBERSHIP_SHARED_TOKEN_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/rendezvous/token.h"

namespace millrace {

// Where the processes of a job that meets at `port` of this machine look: in the folder for temporary files, named
// after the user and the port.
std::string SharedTokenPath(int port);

// Makes a token and leaves it there for the others, readable by this user alone. A file that an earlier job left is
// replaced. The caller removes it once all have joined.
absl::StatusOr<JobToken> LeaveSharedToken(const std::string& path);

}  // namespace millrace

#endif  // RUNTIME_MEMBERSHIP_SHARED_TOKEN_H_
