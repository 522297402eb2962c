// millrace simulate: when every instruction of a plan will run.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tools/cli/commands.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/terminal.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

std::string Json(const Simulation& s) {
  nlohmann::ordered_json out;
  out["seconds"] = s.seconds;
  out["bubble_rate"] = s.bubble_rate;
  out["bubble_over_ideal"] = s.bubble_over_ideal;
  out["peak_in_flight"] = s.peak_in_flight;
  for (const SimulatedRank& r : s.ranks) {
    out["ranks"].push_back({{"busy_seconds", r.busy_seconds},
                            {"forward_seconds", r.forward_seconds},
                            {"backward_seconds", r.backward_seconds},
                            {"weight_seconds", r.weight_seconds},
                            {"communication_seconds", r.communication_seconds},
                            {"idle_seconds", r.idle_seconds},
                            {"span_seconds", r.span_seconds}});
  }
  return out.dump(2);
}

class SimulateCommand : public Command {
 public:
  std::string name() const override { return "simulate"; }
  std::string summary() const override { return "predict when every instruction of a plan runs"; }
  std::string usage() const override { return "PLAN [--program=train] [--out=TRACE] [--json]"; }
  std::vector<std::string> examples() const override {
    return {"simulate gpt.plan", "simulate gpt.plan --program=eval --json",
            "simulate gpt.plan --out=predicted.textproto"};
  }
  void Declare(FlagSet* flags) override {
    flags->String("program", &program_, "train, eval or logits");
    flags->String("out", &out_, "write the predicted StepTrace here");
    flags->Bool("json", &json_, "print JSON");
  }
  absl::Status Run(const FlagSet&, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string path, OnlyArgument(arguments, "the plan"));
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(path));
    if (FindProgram(plan, program_) == nullptr) {
      return UsageError(absl::StrCat("the plan has no program '", program_, "'"));
    }
    MR_ASSIGN_OR_RETURN(const Simulation simulation, Simulate(plan, program_));
    if (!out_.empty()) MR_RETURN_IF_ERROR(WriteMessage(out_, simulation.trace));
    if (json_) {
      std::printf("%s\n", Json(simulation).c_str());
      return absl::OkStatus();
    }
    std::printf("predicted %s of %s: %s\n", program_.c_str(), plan.model_name().c_str(),
                SecondsText(simulation.seconds).c_str());
    std::printf("bubble %.1f %% of the longest span, %.1f %% over the ideal\n", 100 * simulation.bubble_rate,
                100 * simulation.bubble_over_ideal);
    std::printf("%s", DrawTimeline(plan, simulation.trace, DrawingForStdout()).c_str());
    return absl::OkStatus();
  }

 private:
  std::string program_ = "train";
  std::string out_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeSimulateCommand() { return std::make_unique<SimulateCommand>(); }

}  // namespace millrace
