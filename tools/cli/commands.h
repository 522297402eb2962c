// The subcommands, each in a file of its own.
#ifndef TOOLS_CLI_COMMANDS_H_
#define TOOLS_CLI_COMMANDS_H_

#include <memory>

#include "tools/cli/command.h"

namespace millrace {

std::unique_ptr<Command> MakeModelCommand();
std::unique_ptr<Command> MakePartitionCommand();
std::unique_ptr<Command> MakeExplainCommand();
std::unique_ptr<Command> MakeVerifyCommand();
std::unique_ptr<Command> MakeSimulateCommand();
std::unique_ptr<Command> MakeProfileCommand();
std::unique_ptr<Command> MakeTrainCommand();
std::unique_ptr<Command> MakeInspectCommand();
std::unique_ptr<Command> MakeReportCommand();
std::unique_ptr<Command> MakeScheduleCommand();
std::unique_ptr<Command> MakeDoctorCommand();
std::unique_ptr<Command> MakeSubmitCommand();
std::unique_ptr<Command> MakeSageMakerCommand();

}  // namespace millrace

#endif  // TOOLS_CLI_COMMANDS_H_
