// The `millrace` command.
#include <csignal>
#include <memory>
#include <vector>

#include "tools/cli/command.h"
#include "tools/cli/commands.h"

int main(int argc, char** argv) {
  using namespace millrace;
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error to report, not a reason to die in the middle of a step
  const std::unique_ptr<Command> commands[] = {
      MakeModelCommand(), MakePartitionCommand(), MakeExplainCommand(), MakeVerifyCommand(),   MakeSimulateCommand(),
      MakeTrainCommand(), MakeReportCommand(),    MakeInspectCommand(), MakeScheduleCommand(), MakeProfileCommand(),
  };
  std::vector<Command*> list;
  for (const auto& command : commands) list.push_back(command.get());
  return RunCommands(argc, argv, list);
}
