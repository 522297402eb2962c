// millrace report: predicted against measured for a run that has been made, and the cut it should have had.
#include "proto/status_macros.h"
#include "tools/cli/commands.h"
#include "tools/cli/report_flags.h"

namespace millrace {
namespace {

class ReportCommand : public Command {
 public:
  std::string name() const override { return "report"; }
  std::string summary() const override {
    return "stage balance of a run: predicted against measured, and a better cut";
  }
  std::string usage() const override { return "DIR [FLAGS]"; }
  std::vector<std::string> examples() const override {
    return {"report run", "report run --html=report.html --trace=trace.json", "report run --step=100 --json"};
  }
  void Declare(FlagSet* flags) override { report_.Declare(flags); }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string run, OnlyArgument(arguments, "the run's folder"));
    return TellReport(run, report_, flags);
  }

 private:
  ReportFlags report_;
};

}  // namespace

std::unique_ptr<Command> MakeReportCommand() { return std::make_unique<ReportCommand>(); }

}  // namespace millrace
