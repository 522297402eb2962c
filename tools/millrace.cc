// The `millrace` command.
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "runtime/launch/failure_report.h"
#include "runtime/log/log.h"
#include "tools/cli/command.h"
#include "tools/cli/commands.h"

namespace millrace {
namespace {

// A rank's last words, left where its launcher looks for them. Other commands have no launcher.
void TellLauncher(const std::string& command, const absl::Status& status, int exit_code) {
  if (command != "train" && command != "sagemaker") return;
  for (const std::string& trouble : ReportFailure(ThisProcessEnvironment(), status, exit_code, absl::Now())) {
    Log(LogLevel::kWarning, "the launcher does not learn why this failed: " + trouble);
  }
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using namespace millrace;
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error to report, not a reason to die in the middle of a step
  const std::unique_ptr<Command> commands[] = {
      MakeModelCommand(), MakePartitionCommand(), MakeExplainCommand(), MakeVerifyCommand(),   MakeSimulateCommand(),
      MakeTrainCommand(), MakeReportCommand(),    MakeInspectCommand(), MakeScheduleCommand(), MakeProfileCommand(),
      MakeSubmitCommand(), MakeDoctorCommand(),   MakeSageMakerCommand(),
  };
  std::vector<Command*> list;
  for (const auto& command : commands) list.push_back(command.get());
  return RunCommands(argc, argv, list, TellLauncher);
}
