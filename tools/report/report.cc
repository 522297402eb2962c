#include "tools/report/report.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/model.pb.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/plan.h"
#include "tools/report/costs.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

// The trace of the highest step, or of the one asked for.
absl::StatusOr<std::string> FindTrace(const std::string& run, std::optional<uint64_t> wanted) {
  std::string best;
  uint64_t best_step = 0;
  std::error_code error;
  for (fs::directory_iterator it(run, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view step_text = name;
    uint64_t step = 0;
    if (!absl::ConsumePrefix(&step_text, "trace-step-") || !absl::ConsumeSuffix(&step_text, ".pb") ||
        !absl::SimpleAtoi(step_text, &step) || (wanted.has_value() && step != *wanted)) {
      continue;
    }
    if (best.empty() || step > best_step) {
      best = it->path().string();
      best_step = step;
    }
  }
  if (best.empty()) {
    return absl::NotFoundError(absl::StrCat(run, ": there is no trace",
                                            wanted.has_value() ? absl::StrCat(" of step ", *wanted) : "",
                                            "; a run writes one at its end, and every --trace-every steps"));
  }
  return best;
}

absl::StatusOr<Recut> LookForBetterCut(const ReportOptions& options, const Report& report) {
  const std::string path = options.model.empty() ? absl::StrCat(options.folder, "/model.pb") : options.model;
  std::error_code error;
  if (options.model.empty() && !fs::exists(path, error)) {
    return absl::NotFoundError("the run's folder has no model.pb; name the model graph with --model=GRAPH");
  }
  proto::Model model;
  MR_RETURN_IF_ERROR(ReadMessage(path, &model));
  return FindBetterCut(report.plan, model, report.measured_costs,
                       {path, absl::StrCat(options.folder, "/recut.plan.pb")});
}

}  // namespace

const proto::Program& Report::train() const { return *FindProgram(plan, "train"); }

absl::StatusOr<Report> MakeReport(const ReportOptions& options) {
  std::error_code error;
  if (!fs::is_directory(options.folder, error)) {
    return absl::NotFoundError(
        absl::StrCat(options.folder, ": there is no such folder; give the --out of a millrace train"));
  }
  Report report;
  report.folder = options.folder;
  MR_ASSIGN_OR_RETURN(report.plan, LoadPlan(absl::StrCat(options.folder, "/plan.pb")));
  MR_RETURN_IF_ERROR(ReadMessage(absl::StrCat(options.folder, "/predicted.pb"), &report.predicted));
  MR_ASSIGN_OR_RETURN(const std::string trace, FindTrace(options.folder, options.step));
  MR_RETURN_IF_ERROR(ReadMessage(trace, &report.measured));
  MR_ASSIGN_OR_RETURN(report.balance, MakeBalance(report.plan, report.predicted, report.measured));
  MR_ASSIGN_OR_RETURN(report.predicted_cap, MakeScheduleCap(report.plan, report.predicted));
  MR_ASSIGN_OR_RETURN(report.measured_cap, MakeScheduleCap(report.plan, report.measured));
  MR_ASSIGN_OR_RETURN(report.measured_costs, MeasuredCosts(report.plan, report.measured));
  if (options.recut) report.recut = LookForBetterCut(options, report);
  return report;
}

}  // namespace millrace
