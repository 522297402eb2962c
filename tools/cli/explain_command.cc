// millrace explain: what a plan will do, where, and why it takes as long as it does.
#include <cstdio>

#include "proto/status_macros.h"
#include "runtime/plan/plan.h"
#include "tools/cli/commands.h"
#include "tools/cli/explain.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/terminal.h"

namespace millrace {
namespace {

class ExplainCommand : public Command {
 public:
  std::string name() const override { return "explain"; }
  std::string summary() const override { return "show a plan: stages, memory, edges, predicted time, the grid"; }
  std::string usage() const override { return "PLAN [--json]"; }
  std::vector<std::string> examples() const override { return {"explain gpt.plan", "explain gpt.plan --json"}; }
  void Declare(FlagSet* flags) override {
    flags->Bool("json", &json_, "print JSON");
    flags->Int("width", &width_, "columns of the grid; 0: the terminal's");
  }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the plan"));
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(path));
    DrawOptions draw = DrawingForStdout();
    if (width_ < 0 || width_ > 10000) return UsageError("--width must be from 0 to 10000");
    if (width_ > 0) draw.width = static_cast<int>(width_);
    std::printf("%s\n", (json_ ? ExplainJson(plan) : ExplainFully(plan, draw)).c_str());
    return absl::OkStatus();
  }

 private:
  bool json_ = false;
  int64_t width_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeExplainCommand() { return std::make_unique<ExplainCommand>(); }

}  // namespace millrace
