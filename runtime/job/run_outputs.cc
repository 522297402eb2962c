#include "runtime/job/run_outputs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status_macros.h"
#include "proto/text_proto.h"
#include "runtime/plan/simulate.h"

namespace millrace {

absl::StatusOr<std::unique_ptr<RunOutputs>> RunOutputs::Open(const std::string& out_dir, bool continues) {
  MR_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::Open(out_dir, continues));
  return std::unique_ptr<RunOutputs>(new RunOutputs(std::move(folder)));
}

absl::StatusOr<TablesSoFar> RunOutputs::Begin(const proto::ExecutionPlan& plan, const proto::Model* model,
                                              const proto::JobConfig& config, uint64_t step) {
  MR_RETURN_IF_ERROR(WriteInputs(plan, model, config));
  MR_ASSIGN_OR_RETURN(metrics_, MetricsFile::Open(folder_.File("metrics.csv"), kMetricsHeader, step));
  MR_ASSIGN_OR_RETURN(held_out_, MetricsFile::Open(folder_.File("held_out.csv"), kHeldOutHeader, step));
  TablesSoFar tables;
  if (!metrics_->kept_rows().empty()) tables.last_loss = NumberInRow(metrics_->kept_rows().back(), 1);
  if (!held_out_->kept_rows().empty()) {
    tables.held_out_before = NumberInRow(held_out_->kept_rows().front(), 1);
    tables.held_out_after = NumberInRow(held_out_->kept_rows().back(), 1);
    tables.evaluated = true;
    tables.evaluated_step = static_cast<uint64_t>(NumberInRow(held_out_->kept_rows().back(), 0));
  }
  return tables;
}

absl::Status RunOutputs::WriteInputs(const proto::ExecutionPlan& plan, const proto::Model* model,
                                     const proto::JobConfig& config) {
  const std::string path = folder_.File("plan.pb");
  proto::ExecutionPlan there;
  if (ReadMessage(path, &there).ok() && there.hash() != plan.hash()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the run in this folder has plan ", there.hash(),
                                                      ", but this one is ", plan.hash(),
                                                      "; choose another folder with --out"));
  }
  MR_RETURN_IF_ERROR(WriteMessage(path, plan));
  if (model != nullptr) MR_RETURN_IF_ERROR(WriteMessage(folder_.File("model.pb"), *model));
  MR_RETURN_IF_ERROR(WriteMessage(folder_.File("job.pb"), config));
  MR_ASSIGN_OR_RETURN(const Simulation predicted, Simulate(plan, "train"));
  return WriteMessage(folder_.File("predicted.pb"), predicted.trace);
}

absl::Status RunOutputs::Step(const StepReport& report) {
  return metrics_->Append(
      report.step, {report.loss, report.gradient_norm, report.learning_rate, report.seconds, report.tokens_per_second(),
                    static_cast<double>(report.tokens), report.skipped ? 1.0 : 0.0, report.bubble});
}

absl::Status RunOutputs::HeldOut(uint64_t step, const HeldOutLoss& loss) {
  return held_out_->Append(step, {loss.loss, loss.count});
}

absl::Status RunOutputs::Trace(const proto::StepTrace& trace) {
  return WriteMessage(folder_.Trace(trace.step()), trace);
}

absl::Status RunOutputs::Sync() {
  MR_RETURN_IF_ERROR(metrics_->Sync());
  return held_out_->Sync();
}

absl::Status RunOutputs::Finish(const RunResults& results, const proto::ExecutionPlan& plan) {
  if (!results.sample.empty()) MR_RETURN_IF_ERROR(WriteFileAtomically(folder_.File("sample.txt"), results.sample));
  return WriteFileAtomically(folder_.File("summary.json"), ResultsJson(results, plan));
}

}  // namespace millrace
