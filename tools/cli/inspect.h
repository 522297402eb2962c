// Says what a file or folder is, from its content.
#ifndef TOOLS_CLI_INSPECT_H_
#define TOOLS_CLI_INSPECT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace millrace {

// What was found: a kind ("plan", "model", "weights", "checkpoint", "run", ...) and facts in order, name and value.
struct Inspection {
  std::string kind;
  std::vector<std::pair<std::string, std::string>> facts;
};

// Checks what it names: a plan is verified, a checkpoint's every byte is read. INVALID_ARGUMENT when it is none of
// ours, with what each reader said of a file that claims to be one.
absl::StatusOr<Inspection> Inspect(const std::string& path);

}  // namespace millrace

#endif  // TOOLS_CLI_INSPECT_H_
