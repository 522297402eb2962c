// A job's token where a file is asked for and none is to be left behind.
#ifndef RUNTIME_RENDEZVOUS_TOKEN_MEMORY_H_
#define RUNTIME_RENDEZVOUS_TOKEN_MEMORY_H_

#include <string>

#include "absl/status/statusor.h"
#include "runtime/rendezvous/token.h"

namespace millrace {

// Sealed memory that only descriptors lead to: nothing of the token is left when the last one is closed. The caller owns
// the descriptor, which is closed by exec.
absl::StatusOr<int> TokenInMemory(const JobToken& token);

// The path by which this process, and whoever inherits the descriptor, reads it.
std::string TokenMemoryPath(int descriptor);

}  // namespace millrace

#endif  // RUNTIME_RENDEZVOUS_TOKEN_MEMORY_H_
