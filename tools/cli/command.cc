#include "tools/cli/command.h"

#include <cstdio>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/file_error.h"
#include "tools/cli/version.h"

namespace millrace {
namespace {

constexpr absl::string_view kExitPayload = "millrace.exit";

ExitCode DefaultExitCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return kExitBadInput;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return kExitNoInput;
    case absl::StatusCode::kAlreadyExists:
      return kExitCannotCreate;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return kExitBadConfig;
    case absl::StatusCode::kResourceExhausted:
      return kExitIo;
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return kExitRetry;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    case absl::StatusCode::kInternal:
      return kExitBug;
    default:
      return kExitUnexpected;
  }
}

std::string Overview(const std::vector<Command*>& commands) {
  std::string out =
      "Millrace trains networks that are too large, or too slow, for one device.\n\n"
      "usage: millrace COMMAND [FLAGS]        millrace COMMAND --help\n\n";
  for (const Command* command : commands)
    absl::StrAppendFormat(&out, "  %-10s %s\n", command->name(), command->summary());
  absl::StrAppend(
      &out,
      "\nexamples:\n"
      "  millrace model gpt2 --layers=4 --width=256 --heads=8 --vocab=256 --context=128 --out=gpt.textproto\n"
      "  millrace partition gpt.textproto --pp=2 --micro-batch=4 --micro-batches=8 --out=gpt.plan\n"
      "  millrace train --plan=gpt.plan --data=book.txt --steps=200 --out=run\n"
      "  millrace report run\n");
  return out;
}

std::string HelpOf(const Command& command, const FlagSet& flags) {
  std::string out = absl::StrCat(command.summary(), "\n\nusage: millrace ", command.name(), " ", command.usage(),
                                 "\n\nflags:\n", flags.Help(), "\nexamples:\n");
  for (const std::string& example : command.examples()) absl::StrAppend(&out, "  millrace ", example, "\n");
  return out;
}

int Fail(absl::string_view command, const absl::Status& status) {
  const ExitCode code = ExitCodeOf(status);
  std::fprintf(stderr, "millrace%s%s: %s\n", command.empty() ? "" : " ", std::string(command).c_str(),
               std::string(status.message()).c_str());
  if (code == kExitUsage) {
    std::fprintf(stderr, "try: millrace%s%s --help\n", command.empty() ? "" : " ", std::string(command).c_str());
  }
  return code;
}

int RunCommand(Command& command, const std::vector<std::string>& arguments, const FailureListener& on_failure) {
  FlagSet flags;
  const auto fail = [&](const absl::Status& status) {
    const int code = Fail(command.name(), status);
    if (on_failure) on_failure(command.name(), status, code);
    return code;
  };
  command.Declare(&flags);
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-h") {
      std::fputs(HelpOf(command, flags).c_str(), stdout);
      return kExitOk;
    }
  }
  absl::Status status = flags.Parse(arguments);
  if (!status.ok()) return fail(WithExit(std::move(status), kExitUsage));
  status = command.Run(flags, flags.positional());
  if (!status.ok()) return fail(status);
  if (std::fflush(stdout) != 0) return fail(WithExit(absl::DataLossError("cannot write to stdout"), kExitIo));
  return kExitOk;
}

}  // namespace

absl::Status WithExit(absl::Status status, ExitCode code) {
  if (!status.ok()) status.SetPayload(kExitPayload, absl::Cord(absl::StrCat(static_cast<int>(code))));
  return status;
}

absl::Status UsageError(absl::string_view message) { return WithExit(absl::InvalidArgumentError(message), kExitUsage); }

absl::Status ConfigError(absl::string_view message) {
  return WithExit(absl::FailedPreconditionError(message), kExitBadConfig);
}

ExitCode ExitCodeOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kExitPayload);
  int code = 0;
  if (payload.has_value() && absl::SimpleAtoi(std::string(*payload), &code)) return static_cast<ExitCode>(code);
  switch (FileFaultOf(status)) {
    case FileFault::kRead:
      return kExitNoInput;
    case FileFault::kCreate:
      return kExitCannotCreate;
    case FileFault::kIo:
      return kExitIo;
    case FileFault::kNone:
      return DefaultExitCode(status.code());
  }
  return kExitUnexpected;
}

absl::StatusOr<std::string> OnlyArgument(const std::vector<std::string>& arguments, absl::string_view what) {
  if (arguments.empty()) return UsageError(absl::StrCat(what, " is missing"));
  if (arguments.size() > 1) {
    return UsageError(absl::StrCat("only one argument is needed (", what, "), but there is also '", arguments[1], "'"));
  }
  return arguments[0];
}

int RunCommands(int argc, char** argv, const std::vector<Command*>& commands, const FailureListener& on_failure) {
  if (argc < 2) {
    std::fputs(Overview(commands).c_str(), stderr);
    return kExitUsage;
  }
  const std::string word = argv[1];
  if (word == "--help" || word == "-h" || word == "help") {
    std::fputs(Overview(commands).c_str(), stdout);
    return kExitOk;
  }
  if (word == "--version" || word == "version") {
    std::printf("%s\n", VersionText().c_str());
    return kExitOk;
  }
  std::vector<std::string> names;
  for (Command* command : commands) {
    if (command->name() == word) return RunCommand(*command, {argv + 2, argv + argc}, on_failure);
    names.push_back(command->name());
  }
  const std::string near = Nearest(word, names);
  return Fail("", UsageError(absl::StrCat("there is no command '", word, "'",
                                          near.empty() ? "" : absl::StrCat("; did you mean '", near, "'?"))));
}

}  // namespace millrace
