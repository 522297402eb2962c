// A run's report: everything that is told of a run, worked out once. The forms (text, JSON, HTML, CSV, trace) print it.
#ifndef TOOLS_REPORT_REPORT_H_
#define TOOLS_REPORT_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "proto/costs.pb.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/job/balance.h"
#include "runtime/job/schedule_cap.h"
#include "tools/report/recut.h"

namespace millrace {

struct ReportOptions {
  std::string folder;            // of the run: plan.pb, predicted.pb, trace-step-N.pb, model.pb
  std::optional<uint64_t> step;  // whose trace; not set: the last one kept
  std::string model;             // the model graph, where the run's folder has none; empty: <folder>/model.pb
  bool recut = true;             // look for a better cut
};

struct Report {
  std::string folder;
  proto::ExecutionPlan plan;
  proto::StepTrace predicted, measured;
  Balance balance;
  ScheduleCap predicted_cap, measured_cap;
  proto::CostTable measured_costs;
  absl::StatusOr<Recut> recut = absl::UnknownError("not looked for");

  const proto::Program& train() const;
};

// NOT_FOUND says which file of the folder is missing and what writes it; INVALID_ARGUMENT or FAILED_PRECONDITION what
// is wrong with one. That no better cut could be looked for is no error: it stands in `recut`.
absl::StatusOr<Report> MakeReport(const ReportOptions& options);

}  // namespace millrace

#endif  // TOOLS_REPORT_REPORT_H_
