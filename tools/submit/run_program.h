// Another program, run in the place of this one: its terminal, its signals, its exit code.
#ifndef TOOLS_SUBMIT_RUN_PROGRAM_H_
#define TOOLS_SUBMIT_RUN_PROGRAM_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace millrace {

// The file that PATH finds for a name, or "".
std::string FindProgram(absl::string_view name);

// Runs it with this process's input, output and environment plus `variables` ("NAME=value"), hands SIGINT and SIGTERM
// on to it, and waits. The exit code; 128 + n when signal n ended it. NOT_FOUND when PATH has no such program.
absl::StatusOr<int> RunProgram(const std::vector<std::string>& argv, const std::vector<std::string>& variables);

}  // namespace millrace

#endif  // TOOLS_SUBMIT_RUN_PROGRAM_H_
