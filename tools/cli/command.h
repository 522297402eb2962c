// A subcommand of `millrace`, and how its errors become exit codes.
#ifndef TOOLS_CLI_COMMAND_H_
#define TOOLS_CLI_COMMAND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/cli/flags.h"

namespace millrace {

// Exit codes follow sysexits.h where it has a word for it (docs/command-line.md).
enum ExitCode {
  kExitOk = 0,
  kExitUnexpected = 1,
  kExitUsage = 2,
  kExitBadInput = 65,
  kExitNoInput = 66,
  kExitUnavailable = 69,
  kExitBug = 70,
  kExitCannotCreate = 73,
  kExitIo = 74,
  kExitRetry = 75,
  kExitBadConfig = 78,
  kExitInterrupted = 130,
};

// Parsed by the command itself, so that help can be printed without running it.
class Command {
 public:
  virtual ~Command() = default;
  virtual std::string name() const = 0;                   // "partition"
  virtual std::string summary() const = 0;                // one line
  virtual std::string usage() const = 0;                  // "GRAPH --pp=N --out=PLAN"
  virtual std::vector<std::string> examples() const = 0;  // two or more
  virtual void Declare(FlagSet* flags) = 0;
  // `arguments` are the positional ones. Results go to stdout, everything else to stderr.
  virtual absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) = 0;
};

// The same status with an exit code of its own.
absl::Status WithExit(absl::Status status, ExitCode code);
// A mistake in how the command was called: exit 2, with a hint at --help.
absl::Status UsageError(absl::string_view message);
// Bad configuration: exit 78.
absl::Status ConfigError(absl::string_view message);
ExitCode ExitCodeOf(const absl::Status& status);

// Told of the subcommand that failed, why, and the exit code to come, after the error was printed.
using FailureListener = std::function<void(const std::string& command, const absl::Status& status, int exit_code)>;

// Runs argv[1] as a subcommand. Prints help, --version and errors. Returns the exit code.
int RunCommands(int argc, char** argv, const std::vector<Command*>& commands, const FailureListener& on_failure = {});

// The one positional argument, or a usage error that says `what` it should be.
absl::StatusOr<std::string> OnlyArgument(const std::vector<std::string>& arguments, absl::string_view what);

}  // namespace millrace

#endif  // TOOLS_CLI_COMMAND_H_
