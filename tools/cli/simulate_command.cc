// millrace simulate: when every instruction of a plan will run.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/critical_path.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/live_bytes.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/simulate.h"
#include "tools/cli/commands.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/terminal.h"
#include "tools/report/units.h"

namespace millrace {
namespace {

nlohmann::ordered_json PathJson(const proto::Program& program, const std::vector<PathStep>& path) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const PathStep& step : path) {
    const proto::Instruction& instruction = program.ranks(step.rank).instructions(step.instruction);
    out.push_back({{"rank", step.rank},
                   {"instruction", step.instruction},
                   {"what", Describe(program, instruction)},
                   {"begin", step.begin},
                   {"end", step.end}});
  }
  return out;
}

nlohmann::ordered_json MemoryJson(const std::vector<LivePoint>& points) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const LivePoint& point : points) out.push_back({point.seconds, point.bytes});
  return out;
}

std::string Json(const proto::ExecutionPlan& plan, const proto::Program& program, const Simulation& s,
                 const std::vector<PathStep>& path) {
  const std::vector<std::vector<LivePoint>> memory = LiveBytes(plan, program, s.trace);
  nlohmann::ordered_json out;
  out["seconds"] = s.seconds;
  out["pipeline_seconds"] = s.pipeline_seconds;
  out["load_seconds"] = s.parts.load;
  out["reduce_seconds"] = s.parts.reduce;
  out["norm_seconds"] = s.parts.norm;
  out["step_seconds"] = s.parts.step;
  out["gather_seconds"] = s.parts.gather;
  out["prepare_seconds"] = s.parts.prepare;
  out["bubble_rate"] = s.bubble_rate;
  out["bubble_over_ideal"] = s.bubble_over_ideal;
  out["peak_in_flight"] = s.peak_in_flight;
  for (size_t rank = 0; rank < s.ranks.size(); ++rank) {
    const SimulatedRank& r = s.ranks[rank];
    out["ranks"].push_back({{"busy_seconds", r.busy_seconds},
                            {"forward_seconds", r.forward_seconds},
                            {"backward_seconds", r.backward_seconds},
                            {"weight_seconds", r.weight_seconds},
                            {"communication_seconds", r.communication_seconds},
                            {"idle_seconds", r.idle_seconds},
                            {"span_seconds", r.span_seconds},
                            {"memory", MemoryJson(memory[rank])}});
  }
  out["critical_path"] = PathJson(program, path);
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
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
    const proto::Program* const program = FindProgram(plan, program_);
    if (program == nullptr) {
      return UsageError(absl::StrCat("the plan has no program '", program_, "'"));
    }
    MR_ASSIGN_OR_RETURN(const Simulation simulation, Simulate(plan, program_));
    if (!out_.empty()) MR_RETURN_IF_ERROR(WriteMessage(out_, simulation.trace));
    if (json_) {
      MR_ASSIGN_OR_RETURN(const std::vector<PathStep> path, CriticalPath(plan, simulation.trace));
      std::printf("%s\n", Json(plan, *program, simulation, path).c_str());
      return absl::OkStatus();
    }
    std::printf("predicted %s of %s: %s\n", program_.c_str(), plan.model_name().c_str(),
                SecondsText(simulation.seconds).c_str());
    std::printf(
        "of it %s from the first RUN to the last, %s load, %s reduce, %s norm, %s step, %s gather, %s prepare\n",
        SecondsText(simulation.pipeline_seconds).c_str(), SecondsText(simulation.parts.load).c_str(),
        SecondsText(simulation.parts.reduce).c_str(), SecondsText(simulation.parts.norm).c_str(),
        SecondsText(simulation.parts.step).c_str(), SecondsText(simulation.parts.gather).c_str(),
        SecondsText(simulation.parts.prepare).c_str());
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
