// `millrace doctor`: what a job would find here, and why.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "tools/cli/commands.h"
#include "tools/cli/version.h"
#include "tools/doctor/examine.h"
#include "tools/doctor/show.h"

namespace millrace {
namespace {

class DoctorCommand : public Command {
 public:
  std::string name() const override { return "doctor"; }
  std::string summary() const override { return "what a job finds here: launcher, cores, devices, transports"; }
  std::string usage() const override { return "[--json]"; }
  std::vector<std::string> examples() const override {
    return {"doctor", "doctor --json", "doctor --rank=1 --size=4 --coordinator=node1:29500"};
  }
  void Declare(FlagSet* flags) override {
    flags->Bool("json", &json_, "print JSON");
    flags->Int("rank", &launch_.rank, "as a job would be told; -1: not told");
    flags->Int("size", &launch_.size, "as a job would be told; -1: not told");
    flags->Int("local-rank", &launch_.local_rank, "as a job would be told; -1: not told");
    flags->String("coordinator", &launch_.coordinator, "as a job would be told");
  }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    if (!arguments.empty()) return UsageError(absl::StrCat("unexpected argument '", arguments[0], "'"));
    const Examination examination = Examine(ThisProcessEnvironment(launch_));
    const std::string text =
        json_ ? ExaminationJson(examination, VersionText()) : ExaminationText(examination, VersionText());
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    return WithExit(examination.contract.status(), kExitBadConfig);
  }

 private:
  LaunchFlags launch_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeDoctorCommand() { return std::make_unique<DoctorCommand>(); }

}  // namespace millrace
