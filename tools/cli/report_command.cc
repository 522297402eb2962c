// millrace report: predicted against measured, per stage, for a run that has been made.
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "proto/trace.pb.h"
#include "runtime/job/balance.h"
#include "runtime/job/schedule_cap.h"
#include "runtime/plan/draw.h"
#include "runtime/plan/plan.h"
#include "tools/cli/commands.h"
#include "tools/cli/plan_flags.h"
#include "tools/cli/terminal.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

// The trace of the highest step, or of the one asked for.
absl::StatusOr<std::string> FindTrace(const std::string& run, uint64_t wanted, bool any) {
  std::string best;
  uint64_t best_step = 0;
  std::error_code error;
  for (fs::directory_iterator it(run, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view step_text = name;
    uint64_t step = 0;
    if (!absl::ConsumePrefix(&step_text, "trace-step-") || !absl::ConsumeSuffix(&step_text, ".pb") ||
        !absl::SimpleAtoi(step_text, &step) || (!any && step != wanted)) {
      continue;
    }
    if (best.empty() || step > best_step) {
      best = it->path().string();
      best_step = step;
    }
  }
  if (best.empty()) {
    return absl::NotFoundError(absl::StrCat(run, ": there is no trace", any ? "" : absl::StrCat(" of step ", wanted),
                                            "; a run writes one at its end, and every --trace-every steps"));
  }
  return best;
}

nlohmann::ordered_json Json(const SimulatedRank& r) {
  return {{"forward_seconds", r.forward_seconds}, {"backward_seconds", r.backward_seconds},
          {"weight_seconds", r.weight_seconds},   {"communication_seconds", r.communication_seconds},
          {"idle_seconds", r.idle_seconds},       {"busy_seconds", r.busy_seconds}};
}

std::string Json(const Balance& balance, const ScheduleCap& cap) {
  nlohmann::ordered_json out;
  out["schedule_cap_seconds"] = cap.cap;
  out["schedule_cap_reached"] = cap.cap_share();
  out["step_end_seconds"] = cap.with_end - cap.cap;
  out["predicted_seconds"] = balance.predicted_seconds;
  out["measured_seconds"] = balance.measured_seconds;
  out["predicted_bubble"] = balance.predicted_bubble;
  out["measured_bubble"] = balance.measured_bubble;
  out["imbalance"] = balance.imbalance;
  for (const RankBalance& row : balance.ranks) {
    const MemoryByKind& m = row.memory;
    out["ranks"].push_back({{"rank", row.rank},
                            {"stages", row.stages},
                            {"predicted", Json(row.predicted)},
                            {"measured", Json(row.measured)},
                            {"bytes",
                             {{"parameters", m.parameters},
                              {"gradients", m.gradients},
                              {"optimizer", m.optimizer},
                              {"packed", m.packed},
                              {"transient", m.transient},
                              {"other", m.other},
                              {"arena", m.arena}}}});
  }
  return out.dump(2);
}

class ReportCommand : public Command {
 public:
  std::string name() const override { return "report"; }
  std::string summary() const override { return "predicted against measured for a run: time and memory per stage"; }
  std::string usage() const override { return "DIR [--step=N] [--json]"; }
  std::vector<std::string> examples() const override { return {"report run", "report run --step=100 --json"}; }
  void Declare(FlagSet* flags) override {
    flags->Uint("step", &step_, "the trace of this step; default: the last one kept");
    flags->Bool("json", &json_, "print JSON");
  }
  absl::Status Run(const FlagSet& flags, const std::vector<std::string>& arguments) override {
    MR_ASSIGN_OR_RETURN(const std::string run, OnlyArgument(arguments, "the run's folder"));
    std::error_code error;
    if (!fs::is_directory(run, error)) {
      return absl::NotFoundError(absl::StrCat(run, ": there is no such folder; give the --out of a millrace train"));
    }
    MR_ASSIGN_OR_RETURN(const proto::ExecutionPlan plan, ReadPlan(absl::StrCat(run, "/plan.pb")));
    proto::StepTrace predicted, measured;
    MR_RETURN_IF_ERROR(ReadMessage(absl::StrCat(run, "/predicted.pb"), &predicted));
    MR_ASSIGN_OR_RETURN(const std::string trace, FindTrace(run, step_, !flags.WasGiven("step")));
    MR_RETURN_IF_ERROR(ReadMessage(trace, &measured));
    absl::StatusOr<Balance> balance = MakeBalance(plan, predicted, measured);
    if (!balance.ok()) return WithExit(balance.status(), kExitBadInput);
    MR_ASSIGN_OR_RETURN(const ScheduleCap cap, MakeScheduleCap(plan, measured));
    if (json_) {
      std::printf("%s\n", Json(*balance, cap).c_str());
      return absl::OkStatus();
    }
    std::printf("%s, step %llu\n\n%s", plan.model_name().c_str(), static_cast<unsigned long long>(measured.step()),
                BalanceText(*balance).c_str());
    std::printf("\n%s", ScheduleCapText(cap, FindProgram(plan, "train")->schedule()).c_str());
    const DrawOptions draw = DrawingForStdout();
    std::printf("\npredicted\n%s\nmeasured\n%s", DrawTimeline(plan, predicted, draw).c_str(),
                DrawTimeline(plan, measured, draw).c_str());
    return absl::OkStatus();
  }

 private:
  uint64_t step_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeReportCommand() { return std::make_unique<ReportCommand>(); }

}  // namespace millrace
