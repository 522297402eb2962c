// What a run writes into its folder while it goes on and at its end, checkpoints left out. Only rank 0's process has
// one.
#ifndef RUNTIME_JOB_RUN_OUTPUTS_H_
#define RUNTIME_JOB_RUN_OUTPUTS_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/job.pb.h"
#include "proto/model.pb.h"
#include "proto/plan.pb.h"
#include "proto/trace.pb.h"
#include "runtime/job/evaluate.h"
#include "runtime/job/metrics.h"
#include "runtime/job/progress.h"
#include "runtime/job/results.h"
#include "runtime/job/run_folder.h"

namespace millrace {

// What the tables of a run that is continued say. Plain, so that processes can share it.
struct TablesSoFar {
  double last_loss = std::numeric_limits<double>::quiet_NaN();
  double held_out_before = std::numeric_limits<double>::quiet_NaN();
  double held_out_after = std::numeric_limits<double>::quiet_NaN();
  bool evaluated = false;
  uint64_t evaluated_step = 0;  // the last one
};

// Used by one thread.
class RunOutputs {
 public:
  // Takes hold of the folder (RunFolder::Open) and writes nothing yet.
  static absl::StatusOr<std::unique_ptr<RunOutputs>> Open(const std::string& out_dir, bool continues);

  // Writes what is run, and begins the tables or continues them after `step`. FAILED_PRECONDITION when the folder's run
  // has another plan. `model` may be null.
  absl::StatusOr<TablesSoFar> Begin(const proto::ExecutionPlan& plan, const proto::Model* model,
                                    const proto::JobConfig& config, uint64_t step);
  absl::Status Step(const StepReport& report);
  absl::Status HeldOut(uint64_t step, const HeldOutLoss& loss);
  absl::Status Trace(const proto::StepTrace& trace);
  absl::Status Sync();  // the tables are on the disk: before a checkpoint that promises their rows
  absl::Status Finish(const RunResults& results, const proto::ExecutionPlan& plan);

  const RunFolder& folder() const { return folder_; }

 private:
  explicit RunOutputs(RunFolder folder) : folder_(std::move(folder)) {}
  absl::Status WriteInputs(const proto::ExecutionPlan& plan, const proto::Model* model, const proto::JobConfig& config);

  RunFolder folder_;
  std::unique_ptr<MetricsFile> metrics_, held_out_;
};

}  // namespace millrace

#endif  // RUNTIME_JOB_RUN_OUTPUTS_H_
